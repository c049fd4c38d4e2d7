-- Every report as one query over sets. Each names itself, with the database it reads, and says in a sentence or two
-- what it shows. The same text runs on SQLite and PostgreSQL; every figure is an integer, and none is about a person.
-- A month is by posted_at, in the programme's zone. Points that leave members are negative.
-- Parameters: :programme (owner of the programme's accounts), :start and :end of the month (microseconds since 1970),
-- :first and :last (its days in UTC, 2026-11-30), :start_level (that everybody begins with). Every query may join `month` (name, starts, ends, n): n is 0 for the
-- month asked for, -11 to 11 for those around it.

-- outstanding (hub)
-- Points that members own at the end of the month, by wallet and bucket. It is the closing of roll_forward.
SELECT leg.wallet,
    SUM(CASE WHEN leg.bucket = 'active' THEN leg.delta ELSE 0 END) AS active,
    SUM(CASE WHEN leg.bucket = 'pending' THEN leg.delta ELSE 0 END) AS pending,
    SUM(CASE WHEN leg.bucket = 'held' THEN leg.delta ELSE 0 END) AS held,
    SUM(CASE WHEN leg.bucket = 'debt' THEN leg.delta ELSE 0 END) AS debt,
    SUM(leg.delta) AS outstanding
FROM leg JOIN posting ON posting.id = leg.posting
WHERE leg.owner <> :programme AND posting.posted_at < :end
GROUP BY leg.wallet
ORDER BY leg.wallet;

-- roll_forward (hub)
-- What members owned when the month began, each kind of change, and what they own at its end. Taken points are
-- negative, so that opening and all changes add up to closing.
SELECT wallet,
    SUM(CASE WHEN before = 1 AND owned = 1 THEN delta ELSE 0 END) AS opening,
    SUM(CASE WHEN before = 0 AND bucket = 'issued' THEN -delta ELSE 0 END) AS earned,
    SUM(CASE WHEN before = 0 AND bucket = 'adjusted' THEN -delta ELSE 0 END) AS adjusted,
    SUM(CASE WHEN before = 0 AND bucket = 'migrated' THEN -delta ELSE 0 END) AS migrated,
    SUM(CASE WHEN before = 0 AND bucket = 'redeemed' AND delta > 0 THEN -delta ELSE 0 END) AS redeemed,
    SUM(CASE WHEN before = 0 AND bucket = 'redeemed' AND delta < 0 THEN -delta ELSE 0 END) AS returned,
    SUM(CASE WHEN before = 0 AND bucket = 'expired' THEN -delta ELSE 0 END) AS expired,
    SUM(CASE WHEN before = 0 AND bucket = 'reversed' THEN -delta ELSE 0 END) AS reversed,
    SUM(CASE WHEN before = 0 AND bucket = 'waived' THEN -delta ELSE 0 END) AS waived,
    SUM(CASE WHEN before = 0 AND bucket = 'transferred' THEN -delta ELSE 0 END) AS transferred,
    SUM(CASE WHEN before = 0 AND bucket = 'merged' THEN -delta ELSE 0 END) AS merged,
    SUM(CASE WHEN owned = 1 THEN delta ELSE 0 END) AS closing
FROM (
    SELECT leg.wallet, leg.bucket, leg.delta,
        CASE WHEN leg.owner <> :programme THEN 1 ELSE 0 END AS owned,
        CASE WHEN posting.posted_at < :start THEN 1 ELSE 0 END AS before
    FROM leg JOIN posting ON posting.id = leg.posting
    WHERE posting.posted_at < :end
) AS change
GROUP BY wallet
ORDER BY wallet;

-- liability (hub)
-- What the points outstanding at the end of the month would cost if all were redeemed: times cost_per_point of
-- program.yaml.
SELECT leg.wallet, SUM(leg.delta) AS outstanding
FROM leg JOIN posting ON posting.id = leg.posting
WHERE leg.owner <> :programme AND posting.posted_at < :end
GROUP BY leg.wallet
ORDER BY leg.wallet;

-- breakage (hub)
-- Of the points earned in each of the last twelve months, how many have expired and how many are still open at the
-- end of the month asked for. Points that changed hands by a transfer are counted as neither from then on.
SELECT month.name AS earned_in, lot.wallet, SUM(lot.amount) AS earned,
    SUM(COALESCE(moved.expired, 0)) AS expired, SUM(COALESCE(moved.open, 0)) AS open
FROM month
JOIN posting ON posting.posted_at >= month.starts AND posting.posted_at < month.ends
JOIN lot ON lot.posting = posting.id
LEFT JOIN (
    SELECT lot_move.lot,
        SUM(CASE WHEN lot_move.bucket = 'expired' THEN lot_move.delta ELSE 0 END) AS expired,
        SUM(CASE WHEN lot_move.bucket IN ('pending', 'active', 'held') THEN lot_move.delta ELSE 0 END) AS open
    FROM lot_move JOIN posting ON posting.id = lot_move.posting
    WHERE posting.posted_at < :end
    GROUP BY lot_move.lot
) AS moved ON moved.lot = lot.id
WHERE month.n BETWEEN -11 AND 0 AND posting.kind = 'earn'
GROUP BY month.name, lot.wallet
ORDER BY month.name, lot.wallet;

-- expiry_calendar (hub)
-- When the points that members have at the end of the month will expire: by month for a year, then later and never.
SELECT COALESCE(month.name, CASE WHEN lot.expires_at IS NULL THEN 'never' WHEN lot.expires_at < :end THEN 'overdue' ELSE 'later' END)
        AS expires_in,
    lot.wallet, SUM(lot_move.delta) AS points
FROM lot_move
JOIN posting ON posting.id = lot_move.posting
JOIN lot ON lot.id = lot_move.lot
LEFT JOIN month ON month.n > 0 AND lot.expires_at >= month.starts AND lot.expires_at < month.ends
WHERE posting.posted_at < :end AND lot_move.bucket IN ('pending', 'active', 'held')
GROUP BY 1, lot.wallet
HAVING SUM(lot_move.delta) <> 0
ORDER BY 1, lot.wallet;

-- earn_rate (hub)
-- Points earned by purchases of the month, and the net spend that earned them, by wallet and currency.
SELECT given.wallet, earning.currency, COUNT(*) AS purchases, SUM(given.points) AS earned,
    SUM(earning.net_minor) AS spend_minor
FROM earning
JOIN posting ON posting.id = earning.posting
JOIN (
    SELECT leg.posting, leg.wallet, -SUM(leg.delta) AS points
    FROM leg JOIN posting ON posting.id = leg.posting
    WHERE leg.bucket = 'issued' AND posting.posted_at >= :start AND posting.posted_at < :end
    GROUP BY leg.posting, leg.wallet
) AS given ON given.posting = earning.posting
WHERE earning.net_minor > 0
GROUP BY given.wallet, earning.currency
ORDER BY given.wallet, earning.currency;

-- burn_rate (hub)
-- Points redeemed (less those given back) for each point earned: in the month, and ever until its end.
SELECT leg.wallet,
    SUM(CASE WHEN posting.posted_at >= :start AND leg.bucket = 'issued' THEN -leg.delta ELSE 0 END) AS earned,
    SUM(CASE WHEN posting.posted_at >= :start AND leg.bucket = 'redeemed' THEN leg.delta ELSE 0 END) AS redeemed,
    SUM(CASE WHEN leg.bucket = 'issued' THEN -leg.delta ELSE 0 END) AS earned_ever,
    SUM(CASE WHEN leg.bucket = 'redeemed' THEN leg.delta ELSE 0 END) AS redeemed_ever
FROM leg JOIN posting ON posting.id = leg.posting
WHERE leg.bucket IN ('issued', 'redeemed') AND posting.posted_at < :end
GROUP BY leg.wallet
ORDER BY leg.wallet;

-- redemption_rate (hub)
-- How many of the members who ever earned have ever redeemed, until the end of the month.
SELECT SUM(earned) AS earners, SUM(CASE WHEN earned = 1 THEN redeemed ELSE 0 END) AS redeemers
FROM (
    SELECT member, MAX(CASE WHEN kind = 'earn' THEN 1 ELSE 0 END) AS earned,
        MAX(CASE WHEN kind = 'redeem' THEN 1 ELSE 0 END) AS redeemed
    FROM posting
    WHERE posted_at < :end AND kind IN ('earn', 'redeem')
    GROUP BY member
) AS did;

-- first_redemption (hub)
-- Members who redeemed for the first time in the month, and how many days after they joined: half of them at the most.
SELECT COUNT(*) AS members, MAX(CASE WHEN nth = (total + 1) / 2 THEN days END) AS median_days
FROM (
    SELECT days, ROW_NUMBER() OVER (ORDER BY days) AS nth, COUNT(*) OVER () AS total
    FROM (
        SELECT (MIN(posting.posted_at) - member.created_at) / 86400000000 AS days
        FROM posting JOIN member ON member.id = posting.member
        WHERE posting.kind = 'redeem'
        GROUP BY member.id, member.created_at
        HAVING MIN(posting.posted_at) >= :start AND MIN(posting.posted_at) < :end
    ) AS firsts
) AS ranked;

-- active_members (hub)
-- Members who earned or redeemed in the 30, 90 and 365 days before the end of the month, of all enrolled by then.
-- Those merged into others or erased since are not counted.
SELECT COUNT(*) AS enrolled,
    COALESCE(SUM(CASE WHEN latest >= :end - 30 * 86400000000 THEN 1 ELSE 0 END), 0) AS active_30,
    COALESCE(SUM(CASE WHEN latest >= :end - 90 * 86400000000 THEN 1 ELSE 0 END), 0) AS active_90,
    COALESCE(SUM(CASE WHEN latest >= :end - 365 * 86400000000 THEN 1 ELSE 0 END), 0) AS active_365
FROM member
LEFT JOIN (
    SELECT member, MAX(posted_at) AS latest
    FROM posting
    WHERE kind IN ('earn', 'redeem') AND posted_at < :end AND posted_at >= :end - 365 * 86400000000
    GROUP BY member
) AS did ON did.member = member.id
WHERE member.state = 'active' AND member.created_at < :end;

-- tier_movement (hub)
-- Members of each level when the month began, who joined, who came in and went out by rising or falling, and members of
-- it at its end: opening and all of them add up to closing. members_up and members_down count each member once; the
-- total has every level. Those merged into others or erased since are not counted.
SELECT CASE WHEN sums.total = 1 THEN 'total' ELSE part.tier END AS tier,
    SUM(part.opening) AS opening, SUM(part.joined) AS joined,
    SUM(part.rose_in) AS rose_in, SUM(part.rose_out) AS rose_out,
    SUM(part.fell_in) AS fell_in, SUM(part.fell_out) AS fell_out, SUM(part.closing) AS closing,
    COUNT(DISTINCT part.up) AS members_up, COUNT(DISTINCT part.down) AS members_down, sums.total AS last
FROM (
    SELECT COALESCE(before.level, :start_level) AS tier, 1 AS opening, 0 AS joined, 0 AS rose_in, 0 AS rose_out,
        0 AS fell_in, 0 AS fell_out, 0 AS closing, NULL AS up, NULL AS down
    FROM member
    LEFT JOIN (
        SELECT member, level, ROW_NUMBER() OVER (PARTITION BY member ORDER BY recorded_at DESC, id DESC) AS nth
        FROM tier_change WHERE recorded_at < :start
    ) AS before ON before.member = member.id AND before.nth = 1
    WHERE member.state = 'active' AND member.created_at < :start
    UNION ALL
    SELECT :start_level, 0, 1, 0, 0, 0, 0, 0, NULL, NULL
    FROM member
    WHERE member.state = 'active' AND member.created_at >= :start AND member.created_at < :end
    UNION ALL
    SELECT tier_change.level, 0, 0, CASE WHEN tier_change.direction = 'up' THEN 1 ELSE 0 END, 0,
        CASE WHEN tier_change.direction = 'up' THEN 0 ELSE 1 END, 0, 0,
        CASE WHEN tier_change.direction = 'up' THEN CAST(member.id AS TEXT) END,
        CASE WHEN tier_change.direction = 'up' THEN NULL ELSE CAST(member.id AS TEXT) END
    FROM tier_change JOIN member ON member.id = tier_change.member
    WHERE member.state = 'active' AND tier_change.recorded_at >= :start AND tier_change.recorded_at < :end
    UNION ALL
    SELECT tier_change.was, 0, 0, 0, CASE WHEN tier_change.direction = 'up' THEN -1 ELSE 0 END, 0,
        CASE WHEN tier_change.direction = 'up' THEN 0 ELSE -1 END, 0, NULL, NULL
    FROM tier_change JOIN member ON member.id = tier_change.member
    WHERE member.state = 'active' AND tier_change.recorded_at >= :start AND tier_change.recorded_at < :end
    UNION ALL
    SELECT COALESCE(latest.level, :start_level), 0, 0, 0, 0, 0, 0, 1, NULL, NULL
    FROM member
    LEFT JOIN (
        SELECT member, level, ROW_NUMBER() OVER (PARTITION BY member ORDER BY recorded_at DESC, id DESC) AS nth
        FROM tier_change WHERE recorded_at < :end
    ) AS latest ON latest.member = member.id AND latest.nth = 1
    WHERE member.state = 'active' AND member.created_at < :end
) AS part
CROSS JOIN (SELECT 0 AS total UNION ALL SELECT 1) AS sums
GROUP BY 1, sums.total
ORDER BY last, tier;

-- spend_by_tier (hub)
-- Net spend of purchases made in the month (by the shop's clock), less refunds, by the level each member had when they
-- bought: all of it, and for each member who bought and for each purchase. Amounts are minor units of the currency.
SELECT bought.tier, bought.currency, COUNT(DISTINCT bought.member) AS members, COUNT(*) AS purchases,
    SUM(bought.left_minor) AS spend_minor
FROM (
    SELECT purchase.member, purchase.currency, purchase.left_minor, COALESCE((
            SELECT tier_change.level
            FROM tier_change
            WHERE tier_change.member = purchase.member AND tier_change.effective_at < purchase.occurred_at
            ORDER BY tier_change.effective_at DESC, tier_change.id DESC
            LIMIT 1
        ), :start_level) AS tier
    FROM purchase
    WHERE purchase.occurred_at >= :start AND purchase.occurred_at < :end AND purchase.stands
) AS bought
GROUP BY bought.tier, bought.currency
ORDER BY bought.tier, bought.currency;

-- enrolment (hub)
-- Members who joined in the month, by the connection whose event proved first who they are.
SELECT COALESCE(first.connection, 'by hand') AS source, COUNT(*) AS members
FROM member
LEFT JOIN (
    SELECT owner, connection
    FROM (
        SELECT COALESCE(identity.origin, identity.member) AS owner, event.connection,
            ROW_NUMBER() OVER (
                PARTITION BY COALESCE(identity.origin, identity.member)
                ORDER BY identity.created_at, event.id, identity.source
            ) AS nth
        FROM identity JOIN event ON event.id = identity.event
        WHERE identity.created_at >= :start
    ) AS ranked
    WHERE nth = 1
) AS first ON first.owner = member.id
WHERE member.created_at >= :start AND member.created_at < :end
GROUP BY 1
ORDER BY 2 DESC, 1;

-- top_rules (hub)
-- What each rule gave in the month, what it would have given without caps, and what refunds took back.
SELECT award.rule, award.wallet, COUNT(DISTINCT CASE WHEN award.points > 0 THEN award.posting END) AS postings,
    SUM(CASE WHEN award.points > 0 THEN award.wanted ELSE 0 END) AS wanted,
    SUM(CASE WHEN award.points > 0 THEN award.points ELSE 0 END) AS given,
    SUM(CASE WHEN award.points < 0 THEN award.points ELSE 0 END) AS taken_back,
    SUM(SUM(CASE WHEN award.points > 0 THEN award.points ELSE 0 END)) OVER (PARTITION BY award.wallet) AS all_given
FROM award JOIN posting ON posting.id = award.posting
WHERE posting.posted_at >= :start AND posting.posted_at < :end
GROUP BY award.rule, award.wallet
ORDER BY given DESC, award.rule, award.wallet;

-- reward_latency (hub)
-- How long it took from the arrival of an event to its points, by connection; half and 95 % of them at the most.
SELECT connection, COUNT(*) AS postings,
    SUM(CASE WHEN us < 10000000 THEN 1 ELSE 0 END) AS under_10_s,
    SUM(CASE WHEN us < 60000000 THEN 1 ELSE 0 END) AS under_1_min,
    SUM(CASE WHEN us < 3600000000 THEN 1 ELSE 0 END) AS under_1_h,
    MAX(CASE WHEN nth = (total * 50 + 99) / 100 THEN us END) / 1000 AS p50_ms,
    MAX(CASE WHEN nth = (total * 95 + 99) / 100 THEN us END) / 1000 AS p95_ms
FROM (
    SELECT connection, us, ROW_NUMBER() OVER (PARTITION BY connection ORDER BY us) AS nth,
        COUNT(*) OVER (PARTITION BY connection) AS total
    FROM (
        SELECT event.connection, posting.posted_at - event.received_at AS us
        FROM posting JOIN event ON event.id = posting.event
        WHERE posting.kind = 'earn' AND posting.posted_at >= :start AND posting.posted_at < :end
    ) AS took
) AS ranked
GROUP BY connection
ORDER BY connection;

-- redemptions_by_reward (hub)
-- Redemptions asked for in the month, by reward, and what became of them so far.
SELECT reward, wallet, COUNT(*) AS redemptions, COUNT(DISTINCT member) AS members, SUM(points) AS points,
    SUM(returned) AS returned,
    SUM(CASE WHEN state IN ('confirmed', 'fulfilled') THEN 1 ELSE 0 END) AS went_through,
    SUM(CASE WHEN state IN ('requested', 'held') THEN 1 ELSE 0 END) AS open,
    SUM(CASE WHEN state IN ('released', 'expired', 'returned', 'refused') THEN 1 ELSE 0 END) AS came_to_nothing
FROM redemption
WHERE created_at >= :start AND created_at < :end
GROUP BY reward, wallet
ORDER BY redemptions DESC, reward, wallet;

-- vouchers (hub)
-- What happened to vouchers and gift cards in the month, by reward.
SELECT voucher.reward, voucher.kind, voucher.currency,
    SUM(CASE WHEN voucher_step.what = 'issued' THEN 1 ELSE 0 END) AS issued,
    SUM(CASE WHEN voucher_step.what = 'issued' THEN voucher.initial_minor ELSE 0 END) AS issued_minor,
    SUM(CASE WHEN voucher_step.what IN ('redeemed', 'charged') THEN 1 ELSE 0 END) AS used,
    SUM(CASE WHEN voucher_step.what = 'charged' THEN voucher_step.amount_minor ELSE 0 END) AS charged_minor,
    SUM(CASE WHEN voucher_step.what IN ('rolled_back', 'refunded') THEN 1 ELSE 0 END) AS taken_back,
    SUM(CASE WHEN voucher_step.what = 'expired' THEN 1 ELSE 0 END) AS expired,
    SUM(CASE WHEN voucher_step.what = 'void' THEN 1 ELSE 0 END) AS void
FROM voucher_step JOIN voucher ON voucher.id = voucher_step.voucher
WHERE voucher_step.at >= :start AND voucher_step.at < :end
GROUP BY voucher.reward, voucher.kind, voucher.currency
ORDER BY voucher.reward, voucher.kind, voucher.currency;

-- by_source (hub)
-- How the points of the month changed by the connection that caused it; what was due or done by hand has a row of its
-- own. The rows of a wallet add up to its total, which is counted for itself.
SELECT COALESCE(event.connection, 'due or by hand') AS source, leg.wallet,
    COUNT(DISTINCT posting.id) AS postings, COUNT(DISTINCT posting.event) AS events,
    SUM(CASE WHEN leg.bucket = 'issued' THEN -leg.delta ELSE 0 END) AS earned,
    SUM(CASE WHEN leg.bucket = 'redeemed' THEN -leg.delta ELSE 0 END) AS redeemed,
    SUM(CASE WHEN leg.bucket = 'reversed' THEN -leg.delta ELSE 0 END) AS reversed,
    SUM(CASE WHEN leg.bucket NOT IN ('issued', 'redeemed', 'reversed') THEN -leg.delta ELSE 0 END) AS other,
    SUM(-leg.delta) AS change, 0 AS last
FROM leg
JOIN posting ON posting.id = leg.posting
LEFT JOIN event ON event.id = posting.event
WHERE leg.owner = :programme AND posting.posted_at >= :start AND posting.posted_at < :end
GROUP BY 1, leg.wallet
UNION ALL
SELECT 'total', leg.wallet, COUNT(DISTINCT posting.id), COUNT(DISTINCT posting.event),
    SUM(CASE WHEN leg.bucket = 'issued' THEN -leg.delta ELSE 0 END),
    SUM(CASE WHEN leg.bucket = 'redeemed' THEN -leg.delta ELSE 0 END),
    SUM(CASE WHEN leg.bucket = 'reversed' THEN -leg.delta ELSE 0 END),
    SUM(CASE WHEN leg.bucket NOT IN ('issued', 'redeemed', 'reversed') THEN -leg.delta ELSE 0 END),
    SUM(-leg.delta), 1
FROM leg JOIN posting ON posting.id = leg.posting
WHERE leg.owner = :programme AND posting.posted_at >= :start AND posting.posted_at < :end
GROUP BY leg.wallet
ORDER BY 2, 10, 1;

-- inbound_health (hub)
-- What became of the events that arrived in the month, by connection.
SELECT connection, COUNT(*) AS events,
    SUM(CASE WHEN state = 'done' THEN 1 ELSE 0 END) AS done,
    SUM(CASE WHEN state = 'witness' THEN 1 ELSE 0 END) AS witness,
    SUM(CASE WHEN state = 'ignored' THEN 1 ELSE 0 END) AS ignored,
    SUM(CASE WHEN state = 'parked' THEN 1 ELSE 0 END) AS parked,
    SUM(CASE WHEN state = 'unassigned' THEN 1 ELSE 0 END) AS unassigned,
    SUM(CASE WHEN state IN ('waiting', 'ready', 'fetching') THEN 1 ELSE 0 END) AS waiting
FROM event
WHERE received_at >= :start AND received_at < :end
GROUP BY connection
ORDER BY connection;

-- refusals (inbox)
-- Webhooks that were refused in the month (days of UTC), by connection and reason.
SELECT connection, reason, SUM(count) AS webhooks
FROM refused
WHERE day BETWEEN :first AND :last
GROUP BY connection, reason
ORDER BY connection, webhooks DESC, reason;

-- deliveries (hub)
-- What was to be told in the month, by platform, and what became of it so far.
SELECT connection, COUNT(*) AS deliveries,
    SUM(CASE WHEN state = 'done' THEN 1 ELSE 0 END) AS done,
    SUM(CASE WHEN state IN ('ready', 'sending') AND attempts = 0 THEN 1 ELSE 0 END) AS waiting,
    SUM(CASE WHEN state IN ('ready', 'sending') AND attempts > 0 THEN 1 ELSE 0 END) AS retrying,
    SUM(CASE WHEN state = 'dead' THEN 1 ELSE 0 END) AS dead,
    SUM(CASE WHEN state IN ('replaced', 'withheld') THEN 1 ELSE 0 END) AS not_needed
FROM outbox
WHERE created_at >= :start AND created_at < :end
GROUP BY connection
ORDER BY connection;
