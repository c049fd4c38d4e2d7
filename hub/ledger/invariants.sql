-- What must always hold, as queries that must return no row. Each names itself and its number, says in a sentence
-- what holds, and returns the ids of what breaks it. The same text runs on SQLite and PostgreSQL.
-- Parameters: :programme (owner of the programme's accounts), :now (microseconds since 1970).

-- legs_sum_to_zero (1)
-- The legs of a posting sum to zero in every wallet.
SELECT posting, wallet, SUM(delta) AS excess
FROM leg
GROUP BY posting, wallet
HAVING SUM(delta) <> 0;

-- postings_have_legs (1)
-- Every posting has legs.
SELECT posting.id AS posting
FROM posting LEFT JOIN leg ON leg.posting = posting.id
WHERE leg.posting IS NULL;

-- rows_have_postings (1)
-- Every leg, award, lot and lot move belongs to a posting.
SELECT posting FROM leg WHERE NOT EXISTS (SELECT 1 FROM posting WHERE posting.id = leg.posting)
UNION
SELECT posting FROM award WHERE NOT EXISTS (SELECT 1 FROM posting WHERE posting.id = award.posting)
UNION
SELECT posting FROM lot WHERE NOT EXISTS (SELECT 1 FROM posting WHERE posting.id = lot.posting)
UNION
SELECT posting FROM lot_move WHERE NOT EXISTS (SELECT 1 FROM posting WHERE posting.id = lot_move.posting);

-- book_sums_to_zero (2)
-- What members own and what the programme issued and took back sum to zero in every wallet.
SELECT wallet, SUM(amount) AS excess
FROM (
    SELECT wallet, pending + active + held + debt AS amount FROM balance
    UNION ALL SELECT wallet, delta FROM leg WHERE owner = :programme
) AS book
GROUP BY wallet
HAVING SUM(amount) <> 0;

-- what_left_arrived (2)
-- What was transferred from or merged into somebody arrived there: both sum to zero in every wallet.
SELECT wallet, bucket, SUM(delta) AS excess
FROM leg
WHERE owner = :programme AND bucket IN ('transferred', 'merged')
GROUP BY wallet, bucket
HAVING SUM(delta) <> 0;

-- balances_equal_legs (3, 4)
-- A member has a balance in every wallet with legs, and it is the sum of them, bucket by bucket.
SELECT member, wallet, SUM(pending) AS pending, SUM(active) AS active, SUM(held) AS held, SUM(debt) AS debt,
    SUM(other) AS other, SUM(balances) AS balances
FROM (
    SELECT member, wallet, pending, active, held, debt, 0 AS other, 1 AS balances FROM balance
    UNION ALL
    SELECT owner, wallet,
        CASE bucket WHEN 'pending' THEN -delta ELSE 0 END,
        CASE bucket WHEN 'active' THEN -delta ELSE 0 END,
        CASE bucket WHEN 'held' THEN -delta ELSE 0 END,
        CASE bucket WHEN 'debt' THEN -delta ELSE 0 END,
        CASE WHEN bucket IN ('pending', 'active', 'held', 'debt') THEN 0 ELSE 1 END,
        0
    FROM leg WHERE owner <> :programme
) AS both_sides
GROUP BY member, wallet
HAVING SUM(pending) <> 0 OR SUM(active) <> 0 OR SUM(held) <> 0 OR SUM(debt) <> 0 OR SUM(other) <> 0
    OR SUM(balances) <> 1;

-- nothing_is_negative (5)
-- Pending, active and held are zero or more, in balances and in lots.
SELECT member, wallet FROM balance WHERE pending < 0 OR active < 0 OR held < 0
UNION
SELECT member, wallet FROM lot WHERE pending < 0 OR active < 0 OR held < 0;

-- debt_stands_alone (6)
-- A debt is zero or less, and never stands beside active points of the same wallet.
SELECT member, wallet, active, debt
FROM balance
WHERE debt > 0 OR (debt < 0 AND active > 0);

-- lots_explain_balances (7)
-- A member's lots sum to their balance, bucket by bucket.
SELECT member, wallet, SUM(pending) AS pending, SUM(active) AS active, SUM(held) AS held
FROM (
    SELECT member, wallet, pending, active, held FROM lot WHERE pending + active + held <> 0
    UNION ALL SELECT member, wallet, -pending, -active, -held FROM balance
) AS both_sides
GROUP BY member, wallet
HAVING SUM(pending) <> 0 OR SUM(active) <> 0 OR SUM(held) <> 0;

-- lots_have_members (7)
-- Every lot belongs to a member.
SELECT lot.id AS lot
FROM lot LEFT JOIN member ON member.id = lot.member
WHERE member.id IS NULL;

-- moves_explain_lots (8)
-- What a lot has in a bucket is the sum of its moves.
SELECT lot, SUM(pending) AS pending, SUM(active) AS active, SUM(held) AS held
FROM (
    SELECT id AS lot, pending, active, held FROM lot
    UNION ALL
    SELECT lot,
        CASE bucket WHEN 'pending' THEN -delta ELSE 0 END,
        CASE bucket WHEN 'active' THEN -delta ELSE 0 END,
        CASE bucket WHEN 'held' THEN -delta ELSE 0 END
    FROM lot_move
) AS both_sides
GROUP BY lot
HAVING SUM(pending) <> 0 OR SUM(active) <> 0 OR SUM(held) <> 0;

-- moves_agree_with_legs (9)
-- A posting moves in its lots what its legs say, bucket by bucket. Debt, and what is issued, reversed or adjusted,
-- is in no lot.
SELECT posting, wallet, bucket, SUM(amount) AS excess
FROM (
    SELECT lot_move.posting, lot.wallet, lot_move.bucket, lot_move.delta AS amount
    FROM lot_move JOIN lot ON lot.id = lot_move.lot
    UNION ALL
    SELECT posting, wallet, bucket, -delta FROM leg WHERE bucket IN ('pending', 'active', 'held', 'expired', 'waived')
) AS both_sides
GROUP BY posting, wallet, bucket
HAVING SUM(amount) <> 0;

-- keys_are_unique (10)
-- An idempotency key stands for one posting.
SELECT key, COUNT(*) AS postings
FROM posting
GROUP BY key
HAVING COUNT(*) > 1;

-- holds_are_their_lots (11)
-- A hold is of as many points of its wallet as its posting took from lots; 9 compares lots and legs.
SELECT hold.id AS hold, hold.points, leg.delta AS taken
FROM hold LEFT JOIN leg ON leg.posting = hold.posting AND leg.bucket = 'held' AND leg.wallet = hold.wallet
WHERE hold.points <> COALESCE(leg.delta, 0);

-- held_is_what_holds_hold (12)
-- What a member's balance has as held is what their open holds are of.
SELECT member, wallet, SUM(amount) AS excess
FROM (
    SELECT member, wallet, held AS amount FROM balance
    UNION ALL SELECT member, wallet, -points FROM hold WHERE state = 'held'
) AS both_sides
GROUP BY member, wallet
HAVING SUM(amount) <> 0;

-- ended_holds_have_postings (12)
-- A hold that is confirmed was redeemed, one that is released was given back, once, by its member; an open one neither.
SELECT hold.id AS hold, hold.state, COUNT(posting.id) AS postings
FROM hold LEFT JOIN posting ON posting.reverses = hold.posting AND posting.kind IN ('redeem', 'release')
GROUP BY hold.id, hold.state
HAVING COUNT(posting.id) <> CASE hold.state WHEN 'held' THEN 0 ELSE 1 END
    OR MIN(posting.kind) <> CASE hold.state WHEN 'confirmed' THEN 'redeem' ELSE 'release' END
    OR COUNT(CASE WHEN posting.member <> hold.member THEN 1 END) > 0;

-- redemptions_give_back_what_they_took (13)
-- What redemptions took and gave back is what their postings say, and no more came back than was taken.
SELECT posting, SUM(points) AS points, SUM(returned) AS returned
FROM (
    SELECT posting, points, returned FROM spent
    UNION ALL
    SELECT CASE posting.kind WHEN 'give_back' THEN posting.reverses ELSE posting.id END,
        CASE posting.kind WHEN 'give_back' THEN 0 ELSE -leg.delta END,
        CASE posting.kind WHEN 'give_back' THEN leg.delta ELSE 0 END
    FROM leg JOIN posting ON posting.id = leg.posting
    WHERE leg.bucket = 'redeemed'
) AS both_sides
GROUP BY posting
HAVING SUM(points) <> 0 OR SUM(returned) <> 0;

-- reversed_within_earned (13)
-- Reversals take back no more than the earning gave, and give back no more than they took.
SELECT origin AS posting, wallet, SUM(given) AS given, SUM(taken) AS taken
FROM (
    SELECT posting AS origin, wallet, -delta AS given, 0 AS taken FROM leg WHERE bucket = 'issued'
    UNION ALL
    SELECT posting.reverses, leg.wallet, 0, leg.delta
    FROM leg JOIN posting ON posting.id = leg.posting
    WHERE leg.bucket = 'reversed'
) AS both_sides
GROUP BY origin, wallet
HAVING SUM(taken) > SUM(given) OR SUM(taken) < 0;

-- awards_explain_postings (13)
-- The awards of a posting are what its legs say was issued or reversed.
SELECT posting, wallet, SUM(amount) AS excess
FROM (
    SELECT posting, wallet, points AS amount FROM award
    UNION ALL SELECT posting, wallet, delta FROM leg WHERE bucket IN ('issued', 'reversed')
) AS both_sides
GROUP BY posting, wallet
HAVING SUM(amount) <> 0;

-- awards_name_their_origin (13)
-- An award's origin is its own posting or the earning that posting reverses, and its lot is one of that wallet.
SELECT award.posting, award.n
FROM award JOIN posting ON posting.id = award.posting LEFT JOIN lot ON lot.id = award.lot
WHERE award.origin <> COALESCE(posting.reverses, posting.id) OR lot.id IS NULL OR lot.wallet <> award.wallet;

-- earnings_name_their_postings (13)
-- What a fact earned is the posting under the fact's key, of the same member and program version.
SELECT earning.fact
FROM earning LEFT JOIN posting ON posting.id = earning.posting
WHERE posting.id IS NULL OR posting.key <> 'earn:' || earning.fact OR posting.member <> earning.member
    OR posting.program_version <> earning.program_version;

-- chains_continue (19, 14)
-- A posting of a member is numbered one more than the one before it, is posted no sooner, and continues its hash.
SELECT id AS posting, member, seq, before
FROM (
    SELECT id, member, seq, posted_at, prev_hash,
        LAG(seq) OVER chain AS before,
        LAG(posted_at) OVER chain AS posted_before,
        LAG(hash) OVER chain AS hash_before
    FROM posting
    WINDOW chain AS (PARTITION BY member ORDER BY seq)
) AS chained
WHERE seq <> COALESCE(before, 0) + 1 OR posted_at < posted_before OR prev_hash <> hash_before
    OR (before IS NULL AND LENGTH(prev_hash) > 0);

-- chains_end_at_heads (19)
-- A member's last posting has the hash that the member's row says.
SELECT member.id AS member, posting.id AS posting, member.seq
FROM member LEFT JOIN posting ON posting.member = member.id AND posting.seq = member.seq
WHERE (member.seq > 0 AND posting.hash <> member.head) OR (member.seq = 0 AND LENGTH(member.head) > 0);

-- numbers_have_no_gap (15)
-- The postings of a member are numbered 1, 2, 3 ... up to the number the member's row says.
SELECT member.id AS member, member.seq, chain.postings
FROM member LEFT JOIN (
    SELECT member, COUNT(*) AS postings, MIN(seq) AS lowest, MAX(seq) AS highest FROM posting GROUP BY member
) AS chain ON chain.member = member.id
WHERE member.seq <> COALESCE(chain.postings, 0) OR chain.lowest <> 1 OR chain.highest <> chain.postings;

-- postings_have_members (15)
-- Every posting belongs to a member.
SELECT posting.id AS posting
FROM posting LEFT JOIN member ON member.id = posting.member
WHERE member.id IS NULL;

-- merged_members_hold_nothing (16)
-- Who became another has no points, no debts and no open holds.
SELECT member.id AS member, holdings.what
FROM member JOIN (
    SELECT member, 'balance' AS what FROM balance WHERE pending <> 0 OR active <> 0 OR held <> 0 OR debt <> 0
    UNION ALL SELECT member, 'lot' FROM lot WHERE pending + active + held > 0
    UNION ALL SELECT member, 'hold' FROM hold WHERE state = 'held'
) AS holdings ON holdings.member = member.id
WHERE member.state = 'merged';

-- tombstones_name_survivors (16)
-- Who became another says whom, as the one merge that counts says it, and nobody became themselves.
SELECT member.id AS member, COUNT(member_merge.key) AS merges
FROM member LEFT JOIN member_merge ON member_merge.member = member.id AND member_merge.undone_by IS NULL
WHERE member.state = 'merged' OR member.merged_into IS NOT NULL OR member_merge.key IS NOT NULL
GROUP BY member.id, member.state, member.merged_into
HAVING COUNT(member_merge.key) <> 1 OR member.state <> 'merged' OR member.merged_into IS NULL
    OR member.merged_into = member.id
    OR COUNT(CASE WHEN member_merge.survivor = member.merged_into THEN 1 END) <> 1;

-- nothing_is_overdue (17)
-- Nothing is left that should have become active or expired by now.
SELECT id AS lot, member
FROM lot
WHERE (pending > 0 AND available_at <= :now) OR (expires_at <= :now AND pending + active > 0);

-- no_hold_is_overdue (17)
-- No hold is open whose deadline is over.
SELECT id AS hold, member
FROM hold
WHERE state = 'held' AND deadline <= :now;

-- liability_is_what_was_issued (18)
-- All lots and debts together are what the programme issued and did not get back.
SELECT wallet, SUM(amount) AS excess
FROM (
    SELECT wallet, pending + active + held AS amount FROM lot
    UNION ALL SELECT wallet, debt FROM balance
    UNION ALL SELECT wallet, delta FROM leg WHERE owner = :programme
) AS book
GROUP BY wallet
HAVING SUM(amount) <> 0;

-- vouchers_are_used_once (20)
-- A voucher for one use is redeemed once, or once more for each time that was rolled back.
SELECT voucher.id AS voucher, COUNT(*) AS uses
FROM voucher JOIN voucher_step AS used ON used.voucher = voucher.id AND used.what = 'redeemed'
LEFT JOIN voucher_step AS undone ON undone.voucher = voucher.id AND undone.undoes = used.n
WHERE voucher.single_use AND undone.n IS NULL
GROUP BY voucher.id
HAVING COUNT(*) > 1;

-- vouchers_end_in_time (20)
-- No voucher is redeemed, and no gift card charged, at the instant it expires or later.
SELECT voucher.id AS voucher, voucher_step.n
FROM voucher JOIN voucher_step ON voucher_step.voucher = voucher.id
WHERE voucher_step.what IN ('redeemed', 'charged') AND voucher_step.at >= voucher.expires_at;

-- uses_are_taken_back_once (20)
-- A use is rolled back once, and no more goes back to a gift card than the charge took.
SELECT used.voucher, used.n
FROM voucher_step AS used JOIN voucher_step AS undone ON undone.voucher = used.voucher AND undone.undoes = used.n
GROUP BY used.voucher, used.n, used.what, used.amount_minor
HAVING (used.what = 'redeemed' AND COUNT(*) > 1) OR SUM(undone.amount_minor) > -used.amount_minor;

-- vouchers_follow_their_history (20)
-- A voucher for one use is in the state its last step says; the steps are numbered without a gap.
SELECT voucher.id AS voucher, voucher.state, history.last, history.steps
FROM voucher LEFT JOIN (
    SELECT voucher, MAX(n) AS last, COUNT(*) AS steps FROM voucher_step GROUP BY voucher
) AS history ON history.voucher = voucher.id
LEFT JOIN voucher_step ON voucher_step.voucher = voucher.id AND voucher_step.n = history.last
WHERE history.last IS NULL OR history.last <> history.steps
    OR (voucher.single_use AND voucher.state <> voucher_step.what);

-- gift_cards_add_up (20)
-- What a gift card has left is what was put on it less what was taken; one with nothing left is redeemed.
SELECT voucher.id AS voucher, voucher.balance_minor, SUM(voucher_step.amount_minor) AS history
FROM voucher JOIN voucher_step ON voucher_step.voucher = voucher.id
GROUP BY voucher.id, voucher.balance_minor, voucher.initial_minor, voucher.kind, voucher.state
HAVING SUM(voucher_step.amount_minor) <> voucher.balance_minor
    OR voucher.balance_minor NOT BETWEEN 0 AND voucher.initial_minor
    OR (voucher.kind = 'gift_card' AND voucher.state = 'redeemed' AND voucher.balance_minor <> 0)
    OR (voucher.kind = 'gift_card' AND voucher.balance_minor = 0 AND voucher.state <> 'redeemed');

-- stock_is_enough (21)
-- Of no reward more are reserved and delivered than there are.
SELECT reward, stock, reserved, delivered
FROM stock
WHERE reserved < 0 OR delivered < 0 OR reserved + delivered > stock;

-- stock_is_what_was_taken (21)
-- What is reserved and delivered of a reward is what its redemptions have.
SELECT item AS reward, SUM(reserved) AS reserved, SUM(delivered) AS delivered
FROM (
    SELECT reward AS item, reserved, delivered FROM stock
    UNION ALL
    SELECT item, CASE stock WHEN 'reserved' THEN -1 ELSE 0 END, CASE stock WHEN 'delivered' THEN -1 ELSE 0 END
    FROM redemption
) AS both_sides
GROUP BY item
HAVING SUM(reserved) <> 0 OR SUM(delivered) <> 0;

-- redemptions_follow_their_history (21)
-- A redemption is in the state its last step says, and has given back what its steps say.
SELECT redemption.id AS redemption, redemption.state, redemption.returned
FROM redemption LEFT JOIN (
    SELECT redemption, MAX(n) AS last, COUNT(*) AS steps, SUM(points) AS points
    FROM redemption_step GROUP BY redemption
) AS history ON history.redemption = redemption.id
LEFT JOIN redemption_step ON redemption_step.redemption = redemption.id AND redemption_step.n = history.last
WHERE history.last IS NULL OR history.last <> history.steps OR redemption_step.state <> redemption.state
    OR history.points <> redemption.returned OR redemption.state = 'requested'
    OR (redemption.state = 'returned' AND redemption.returned <> redemption.points);

-- redemptions_spend_what_they_cost (21)
-- The points of a redemption are what its posting says was redeemed; one that spent nothing has none.
SELECT redemption.id AS redemption, redemption.points
FROM redemption LEFT JOIN leg
    ON leg.posting = redemption.posting AND leg.bucket = 'redeemed' AND leg.wallet = redemption.wallet
WHERE (redemption.state IN ('confirmed', 'fulfilled', 'returned') AND redemption.points <> COALESCE(leg.delta, 0))
    OR (redemption.state NOT IN ('confirmed', 'fulfilled', 'returned') AND redemption.posting IS NOT NULL);

-- redemptions_hold_what_they_reserve (21)
-- A held redemption has its points held, until the deadline; no other one has.
SELECT redemption.id AS redemption, redemption.state, hold.state AS hold
FROM redemption LEFT JOIN hold ON hold.id = redemption.hold
WHERE (redemption.state = 'held' AND redemption.points > 0 AND hold.id IS NULL)
    OR hold.points <> redemption.points
    OR (hold.state = 'held' AND redemption.state <> 'held')
    OR (redemption.state = 'held' AND hold.state = 'confirmed')
    OR (redemption.state = 'held' AND hold.state = 'released' AND redemption.deadline <= :now);

-- returns_give_back_what_they_say (21)
-- The points that a step gave back are what its posting took from what was redeemed.
SELECT redemption_step.redemption, redemption_step.n
FROM redemption_step LEFT JOIN leg ON leg.posting = redemption_step.posting AND leg.bucket = 'redeemed'
WHERE redemption_step.points <> 0 AND redemption_step.points <> -COALESCE(leg.delta, 0);

-- tasks_belong_to_redemptions (21)
-- A redemption has one task at most, which is open while it is confirmed and done when it is fulfilled.
SELECT redemption.id AS redemption, redemption.state, MIN(task.state) AS task, COUNT(*) AS tasks
FROM task LEFT JOIN redemption ON redemption.id = task.redemption
WHERE task.redemption IS NOT NULL
GROUP BY redemption.id, redemption.state
HAVING COUNT(*) > 1 OR redemption.id IS NULL
    OR (redemption.state = 'confirmed' AND MIN(task.state) <> 'open')
    OR (redemption.state = 'fulfilled' AND MIN(task.state) <> 'done')
    OR redemption.state NOT IN ('confirmed', 'fulfilled', 'returned');

-- caps_are_kept (22)
-- No counter says more than the widest cap or budget that ever counted allows; who took somebody in has both counters.
SELECT usage.owner, usage.name, usage.period, usage.points, usage.times
FROM usage JOIN (
    SELECT name, period,
        CASE WHEN COUNT(points) = COUNT(*) THEN MAX(points) END AS points,
        CASE WHEN COUNT(times) = COUNT(*) THEN MAX(times) END AS times
    FROM cap GROUP BY name, period
) AS widest ON widest.name = usage.name AND widest.period = CASE
    WHEN usage.period IN ('ever', 'all') THEN usage.period
    WHEN usage.period LIKE '%-W%' THEN 'week'
    WHEN LENGTH(usage.period) = 10 THEN 'day'
    WHEN LENGTH(usage.period) = 7 THEN 'month'
    ELSE 'year'
END
WHERE (usage.points > widest.points OR usage.times > widest.times)
    AND NOT EXISTS (SELECT 1 FROM member_merge WHERE member_merge.survivor = usage.owner);

-- credits_have_causes (23)
-- What gave points is an event that was accepted and settled, or a person who said why.
SELECT posting.id AS posting, posting.kind, event.state
FROM posting LEFT JOIN event ON event.id = posting.event
WHERE posting.kind IN ('earn', 'adjust', 'migrate')
    AND (event.state IS NULL OR event.state <> 'done')
    AND (posting.event IS NOT NULL OR posting.actor = '' OR posting.reason = '');

-- two_people_decide (24)
-- What waited for a person was decided by somebody, and never by who asked for it.
SELECT id AS approval
FROM approval
WHERE maker = checker OR (state <> 'requested' AND (checker IS NULL OR decided_at IS NULL));

-- what_was_allowed_is_done (24)
-- An adjustment or a level that was allowed and applied is in the ledger or in the history of levels, and no other is.
SELECT approval.id AS approval
FROM approval
    LEFT JOIN posting ON posting.key = approval.key
    LEFT JOIN tier_change ON tier_change.member = approval.member AND tier_change.key = 'approval:' || approval.id
WHERE (approval.kind = 'adjustment' AND (approval.state = 'applied') <> (posting.id IS NOT NULL))
    OR (approval.kind = 'tier' AND (approval.state = 'applied') <> (tier_change.id IS NOT NULL));

-- referrals_reward_both_or_none (25)
-- A referral that converted rewarded every side that the programme rewards, and no other referral rewarded anybody.
SELECT referral.id AS referral, referral.state, referral.sides, COUNT(posting.id) AS rewarded
FROM referral LEFT JOIN posting
    ON posting.key IN ('earn:' || referral.fact || '/referral', 'earn:' || referral.fact || '/referrer')
GROUP BY referral.id, referral.state, referral.sides
HAVING COUNT(posting.id) <> referral.sides OR (referral.state <> 'converted' AND referral.sides <> 0);

-- deliveries_go_on (26)
-- Every outbox row is finished or has a next attempt.
SELECT id AS outbox, state
FROM outbox
WHERE state NOT IN ('done', 'replaced', 'withheld', 'dead')
    AND NOT (state = 'ready' AND next_at IS NOT NULL)
    AND NOT (state = 'sending' AND lease_until IS NOT NULL);

-- levels_are_their_last_change (27)
-- A member's level is what its last change made it, and the member's row says the same.
SELECT member.id AS member, member.tier, member_tier.level, last_change.level AS changed_to
FROM member
    LEFT JOIN member_tier ON member_tier.member = member.id
    LEFT JOIN (
        SELECT member, level, ROW_NUMBER() OVER (PARTITION BY member ORDER BY recorded_at DESC, id DESC) AS place
        FROM tier_change
    ) AS last_change ON last_change.member = member.id AND last_change.place = 1
WHERE member.tier <> COALESCE(member_tier.level, '') OR COALESCE(member_tier.level, '') <> COALESCE(last_change.level, '');

-- purchases_explain_activity (28)
-- How many purchases of a member stand is what their sums say.
SELECT member, SUM(amount) AS excess
FROM (
    SELECT member, orders AS amount FROM activity
    UNION ALL SELECT member, -1 FROM purchase WHERE stands
) AS both_sides
GROUP BY member
HAVING SUM(amount) <> 0;
