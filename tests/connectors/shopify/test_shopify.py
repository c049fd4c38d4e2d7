from connectors.shopify import AddTags, Shopify, UpdateCustomer
from hub.sdk.testing import ConnectorContract, OutboundCase, Reply
class TestContract(ConnectorContract):
    connector = Shopify.with_settings(shop="brewline", access_token="shpat_brewline")
    secret = b"hush"
    no_timestamp = "Shopify signs no time"
    outbound = [OutboundCase("update_customer", UpdateCustomer(customer_id="7", points=61, tier="gold"), [Reply(body=b'{"data":{"metafieldsSet":{"userErrors":[]}}}')], remote_id="gid://shopify/Customer/7"),
     OutboundCase("add_tags", AddTags(customer_id="7", tags=["a"]), [Reply(body=b'{"data":{"tagsAdd":{"userErrors":[]}}}')], remote_id="gid://shopify/Customer/7")]
