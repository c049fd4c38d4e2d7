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
SELECT DISTINCT rows_of.posting
FROM (
    SELECT posting FROM leg
    UNION ALL SELECT posting FROM award
    UNION ALL SELECT posting FROM lot
    UNION ALL SELECT posting FROM lot_move
) AS rows_of LEFT JOIN posting ON posting.id = rows_of.posting
WHERE posting.id IS NULL;

-- book_sums_to_zero (2)
-- What members own and what the programme issued and took back sum to zero in every wallet.
SELECT wallet, SUM(amount) AS excess
FROM (
    SELECT wallet, pending + active + held + debt AS amount FROM balance
    UNION ALL SELECT wallet, delta FROM leg WHERE owner = :programme
) AS book
GROUP BY wallet
HAVING SUM(amount) <> 0;

-- balances_equal_legs (3)
-- A member's stored balance is the sum of their legs, bucket by bucket.
SELECT member, wallet, bucket, SUM(amount) AS excess
FROM (
    SELECT member, wallet, 'pending' AS bucket, pending AS amount FROM balance
    UNION ALL SELECT member, wallet, 'active', active FROM balance
    UNION ALL SELECT member, wallet, 'held', held FROM balance
    UNION ALL SELECT member, wallet, 'debt', debt FROM balance
    UNION ALL SELECT owner, wallet, bucket, -delta FROM leg WHERE owner <> :programme
) AS both_sides
GROUP BY member, wallet, bucket
HAVING SUM(amount) <> 0;

-- accounts_have_balances (4)
-- Every wallet in which a member has legs has a balance.
SELECT owner AS member, wallet FROM leg WHERE owner <> :programme
EXCEPT
SELECT member, wallet FROM balance;

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
SELECT member, wallet, bucket, SUM(amount) AS excess
FROM (
    SELECT member, wallet, 'pending' AS bucket, pending AS amount FROM lot
    UNION ALL SELECT member, wallet, 'active', active FROM lot
    UNION ALL SELECT member, wallet, 'held', held FROM lot
    UNION ALL SELECT member, wallet, 'pending', -pending FROM balance
    UNION ALL SELECT member, wallet, 'active', -active FROM balance
    UNION ALL SELECT member, wallet, 'held', -held FROM balance
) AS both_sides
GROUP BY member, wallet, bucket
HAVING SUM(amount) <> 0;

-- lots_have_members (7)
-- Every lot belongs to a member.
SELECT lot.id AS lot
FROM lot LEFT JOIN member ON member.id = lot.member
WHERE member.id IS NULL;

-- moves_explain_lots (8)
-- What a lot has in a bucket is the sum of its moves.
SELECT lot, bucket, SUM(amount) AS excess
FROM (
    SELECT id AS lot, 'pending' AS bucket, pending AS amount FROM lot
    UNION ALL SELECT id, 'active', active FROM lot
    UNION ALL SELECT id, 'held', held FROM lot
    UNION ALL SELECT lot, bucket, -delta FROM lot_move WHERE bucket IN ('pending', 'active', 'held')
) AS both_sides
GROUP BY lot, bucket
HAVING SUM(amount) <> 0;

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

-- posted_at_never_goes_back (14)
-- The postings of a member are posted in the order of their numbers.
SELECT id AS posting, member
FROM (
    SELECT id, member, posted_at, LAG(posted_at) OVER (PARTITION BY member ORDER BY seq) AS previous FROM posting
) AS chain
WHERE posted_at < previous;

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

-- nothing_is_overdue (17)
-- Nothing is left that should have become active or expired by now.
SELECT id AS lot, member
FROM lot
WHERE (pending > 0 AND available_at <= :now) OR (expires_at <= :now AND pending + active > 0);

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

-- deliveries_go_on (26)
-- Every outbox row is finished or has a next attempt.
SELECT id AS outbox, state
FROM outbox
WHERE state NOT IN ('done', 'replaced', 'dead')
    AND NOT (state = 'ready' AND next_at IS NOT NULL)
    AND NOT (state = 'sending' AND lease_until IS NOT NULL);

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
