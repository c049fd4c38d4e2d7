from connectors.shopify import Shopify
from connectors.stripe import Stripe, UpdateCustomer
from hub.sdk.testing import ConnectorContract, OutboundCase, Reply
class TestContract(ConnectorContract):
    connector = Stripe.with_settings(api_key="sk_test_brewline")
    secret = b"whsec_brewline"
    no_future = "Stripe's own check has no upper bound"
    outbound = [OutboundCase("update_customer", UpdateCustomer(customer_id="cus_1", points=61, tier="gold"), [Reply()], remote_id="cus_1", key_header="Idempotency-Key")]
