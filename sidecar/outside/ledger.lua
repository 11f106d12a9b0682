-- The ledger's operations on Redis, each one atomic: ARGV[1] names the operation, its own arguments
-- follow. KEYS[1] is the root of every key; its hash tag keeps them all in one slot of a cluster.
--
-- <root>:waiting           zset   keys of events that nobody works on, by position
-- <root>:held:<replica>    zset   keys of events that a replica works on, by position
-- <root>:event:<key>       hash   key kind origin raw position attempts ticket accepted_at
-- <root>:aliases:<key>     set    names that an undecided event was submitted under
-- <root>:backlog           int    undecided events
-- <root>:verdict:<seq>     hash   record by accepted_at, and what filters compare
-- <root>:deliveries:<seq>  set    ids of entries of a verdict that were not delivered
-- <root>:decided           hash   key -> seq
-- <root>:names             hash   name -> "<seq> <position> <key>"; the highest pair wins
-- <root>:sensor:<id>, <root>:category:<name>, <root>:outcome:<value>   zset of seq
-- <root>:entry:<id>        hash   seq sink line next_at attempts error behind
-- <root>:due:<sink>        zset   ids of entries that nobody delivers, by next_at
-- <root>:sending:<replica>:<sink>  zset   ids of entries that a replica delivers, by next_at
-- <root>:line:<sink>:<fingerprint> zset   ids of entries neither sent nor dead, oldest first
-- <root>:dead              zset   ids of entries that were given up
-- <root>:sinks             set    every sink that ever had an entry
-- <root>:replicas          zset   replicas by the end of their lease, in ms of the server's clock
-- <root>:suspects          hash   replica -> when its lease was first seen to be over
-- <root>:mark:<cohort>     string "<end> <time>" of its latest accepted event; expires
-- <root>:seq, :position, :delivery  int   the last number given
-- <root>:prompts           hash   alert type -> its newest version
-- <root>:prompts:<type>    hash   version -> what it said
-- <root>:rules             hash   id -> realtime rule
-- <root>:rule_revisions    hash   id -> its revision
-- <root>:audit             list   who changed what, oldest first
-- <root>:arm_choices       list   every choice of arms, oldest first; its place is its version
-- <root>:compared:<key>    hash   event sensor category timestamp stored_at position, and the order
--                                 of the arms, and an answer under `=<arm>` for each of them
-- <root>:compared_all, :compared_sensor:<id>, :compared_category:<name>   zset of keys by position
-- <root>:compared_bare     zset   those of them that nobody labelled
-- <root>:compared_disputed zset   those that arms differ on and nobody labelled
-- <root>:compared_position int    the last number given
-- <root>:labels:<key>      list   what people said about an event, oldest first
-- <root>:withdrawn:<key>   list   of that, what was taken back
--
-- Redis refuses commands for want of memory or disk only before the first write of a script, so an
-- operation happens as a whole or not at all (https://redis.io/docs/latest/develop/programmability).

local call, root = redis.call, KEYS[1] .. ':'
local op = {}

local function key_of(...)
  return root .. table.concat({...}, ':')
end

local function now_ms()
  local time = call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function set_of(members)
  local set = {}
  for _, member in ipairs(members) do
    set[member] = true
  end
  return set
end

-- What was changed by whom ---------------------------------------------------------------------

-- Remember a change; returns its place.
function op.audit(entry)
  return call('RPUSH', key_of('audit'), entry)
end

local function record(entry)
  if entry ~= '' then
    op.audit(entry)
  end
end

-- List up to `limit` entries before a place, oldest first, behind the place of the first of them.
function op.audited(before, limit)
  local last = math.min(call('LLEN', key_of('audit')), before - 1)
  local first = math.max(last - limit + 1, 1)
  if last < first then
    return {1}
  end
  return {first, unpack(call('LRANGE', key_of('audit'), first - 1, last - 1))}
end

-- Replicas and their leases ---------------------------------------------------------------------

local function enlist(me, lease_ms)
  if not call('ZSCORE', key_of('replicas'), me) then
    call('ZADD', key_of('replicas'), now_ms() + lease_ms, me)
  end
end

local function move(from, to)
  local members = call('ZRANGE', from, 0, -1, 'WITHSCORES')
  for i = 1, #members, 2 do
    call('ZADD', to, members[i + 1], members[i])
  end
  call('DEL', from)
  return #members / 2
end

local function retire(replica)
  for _, sink in ipairs(call('SMEMBERS', key_of('sinks'))) do
    move(key_of('sending', replica, sink), key_of('due', sink))
  end
  call('ZREM', key_of('replicas'), replica)
  call('HDEL', key_of('suspects'), replica)
  return move(key_of('held', replica), key_of('waiting'))
end

-- When the server's clock is set back, leases seem to last for as long as it was set back. A lease
-- that is much longer than ours is none.
local function shorten_leases(now, lease_ms)
  local replicas, longest = key_of('replicas'), now + 2 * lease_ms
  for _, replica in ipairs(call('ZRANGEBYSCORE', replicas, '(' .. longest, '+inf')) do
    call('ZADD', replicas, now + lease_ms, replica)
  end
end

-- A lease may also run out because Redis was away, and then its replica renews it within a beat.
local function retire_dead(now, grace_ms)
  local count = 0
  for _, replica in ipairs(call('ZRANGEBYSCORE', key_of('replicas'), '-inf', now)) do
    local since = tonumber(call('HGET', key_of('suspects'), replica) or now + 1)
    if since > now then
      call('HSET', key_of('suspects'), replica, now)
    elseif now - since >= grace_ms then
      count = count + retire(replica)
    end
  end
  return count
end

function op.beat(me, lease_ms, grace_ms)
  local now = now_ms()
  local is_new = call('ZADD', key_of('replicas'), now + lease_ms, me)
  call('HDEL', key_of('suspects'), me)
  shorten_leases(now, lease_ms)
  local count = retire_dead(now, tonumber(grace_ms))
  local seq = call('GET', key_of('seq')) or 0
  return {is_new, count, call('ZCARD', key_of('waiting')), tonumber(seq)}
end

function op.leave(me)
  return retire(me)
end

local function take_from_everybody(member, kind, ...)
  for _, replica in ipairs(call('ZRANGE', key_of('replicas'), 0, -1)) do
    if call('ZREM', key_of(kind, replica, ...), member) == 1 then
      return
    end
  end
end

-- Write something, to see whether the server takes writes.
function op.ping()
  return call('SET', key_of('ping'), 1)
end

-- Names -----------------------------------------------------------------------------------------

local function name(identity, seq, position, key)
  if identity == '' then
    return
  end
  local known = call('HGET', key_of('names'), identity)
  if known then
    local known_seq, known_position = string.match(known, '^(%d+) (%d+) ')
    known_seq, known_position = tonumber(known_seq), tonumber(known_position)
    if known_seq > seq or (known_seq == seq and known_position >= position) then
      return
    end
  end
  call('HSET', key_of('names'), identity, seq .. ' ' .. position .. ' ' .. key)
end

local function stored_event(key)
  return call('HMGET', key_of('event', key), 'key', 'kind', 'origin', 'raw', 'attempts',
    'position')
end

function op.lookup(identity)
  local known = call('HGET', key_of('names'), identity)
  if not known then
    return {}
  end
  local seq, key = string.match(known, '^(%d+) %d+ (.*)$')
  if seq ~= '0' then
    return {tonumber(seq), call('HGET', key_of('verdict', seq), 'record')}
  end
  return stored_event(key)
end

-- Events ----------------------------------------------------------------------------------------

local function insert(key, kind, origin, raw, claimer, lease_ms, ticket)
  local position = call('INCR', key_of('position'))
  call('INCR', key_of('backlog'))
  call('HSET', key_of('event', key), 'key', key, 'kind', kind, 'origin', origin, 'raw', raw,
    'position', position, 'attempts', claimer == '' and 0 or 1, 'ticket', ticket,
    'accepted_at', string.format('%.0f', now_ms() * 1000))
  if claimer == '' then
    call('ZADD', key_of('waiting'), position, key)
  else
    enlist(claimer, lease_ms)
    call('ZADD', key_of('held', claimer), position, key)
  end
  return position
end

-- Tell why an event is dropped, in microseconds; nil when it is not.
local function find_drop(fingerprint, rules)
  local mark = call('GET', key_of('mark', rules.cohort))
  if mark then
    local ends_at, set_at = string.match(mark, '^(%S+) (%S+)$')
    for _, limit in ipairs(rules.limits) do
      local drop, within, closer = unpack(limit)
      if math.abs(rules.now - set_at) < within and math.abs(rules.ends_at - ends_at) < closer then
        return {'dropped', drop, ends_at, set_at}
      end
    end
  end
  local known = rules.protect > 0 and call('HGET', key_of('names'), fingerprint)
  if known then
    local verdict = key_of('verdict', string.match(known, '^%d+'))
    local outcome, decided_at = unpack(call('HMGET', verdict, 'outcome', 'decided_at'))
    if outcome == 'confirmed' and math.abs(rules.now - (decided_at or 0)) < rules.protect then
      return {'dropped', 'confirmed', decided_at}
    end
  end
end

function op.accept(key, id, fingerprint, kind, origin, raw, rules, max_backlog, claimer, lease_ms,
  ticket)
  local seq = call('HGET', key_of('decided'), key)
  if seq then
    for _, identity in ipairs({key, id, fingerprint}) do
      name(identity, tonumber(seq), 0, '')
    end
    return {'decided', tonumber(seq), call('HGET', key_of('verdict', seq), 'record')}
  end
  local position = call('HGET', key_of('event', key), 'position')
  local answer = position and 'known' or 'new'
  if not position then
    rules = rules ~= '' and cjson.decode(rules)
    local dropped = rules and find_drop(fingerprint, rules)
    if dropped then
      return dropped
    end
    local backlog = tonumber(call('GET', key_of('backlog')) or 0)
    if backlog >= tonumber(max_backlog) then
      return {'full', backlog}
    end
    position = insert(key, kind, origin, raw, claimer, lease_ms, ticket)
    if rules and #rules.limits > 0 then
      call('SET', key_of('mark', rules.cohort), rules.mark, 'PX', rules.keep_ms)
    end
  end
  call('SADD', key_of('aliases', key), key, id, fingerprint)
  for _, identity in ipairs({key, id, fingerprint}) do
    name(identity, 0, tonumber(position), key)
  end
  return {answer}
end

function op.waiting(after, limit)
  local found = {}
  local keys = call('ZRANGEBYSCORE', key_of('waiting'), '(' .. after, '+inf', 'LIMIT', 0, limit)
  for i, key in ipairs(keys) do
    found[i] = stored_event(key)
  end
  return found
end

function op.claim(keys, me, lease_ms, ticket)
  local free = {}
  for _, key in ipairs(cjson.decode(keys)) do
    local position = call('ZSCORE', key_of('waiting'), key)
    if position then
      free[#free + 1] = {tonumber(position), key}
    end
  end
  table.sort(free, function(one, other) return one[1] < other[1] end)
  enlist(me, lease_ms)
  local claimed = {}
  for i, it in ipairs(free) do
    local position, key = unpack(it)
    call('ZREM', key_of('waiting'), key)
    call('ZADD', key_of('held', me), position, key)
    call('HINCRBY', key_of('event', key), 'attempts', 1)
    call('HSET', key_of('event', key), 'ticket', ticket)
    claimed[i] = stored_event(key)
  end
  return claimed
end

function op.release(key, me)
  local position = call('ZSCORE', key_of('held', me), key)
  if not position then
    return 0
  end
  call('ZREM', key_of('held', me), key)
  call('ZADD', key_of('waiting'), position, key)
  call('HINCRBY', key_of('event', key), 'attempts', -1)
  return 1
end

-- Undo claims whose answers never arrived.
function op.disown(me, ...)
  local tickets, count = set_of({...}), 0
  for _, key in ipairs(call('ZRANGE', key_of('held', me), 0, -1)) do
    if tickets[call('HGET', key_of('event', key), 'ticket')] then
      count = count + op.release(key, me)
    end
  end
  return count
end

function op.backlog()
  return tonumber(call('GET', key_of('backlog')) or 0)
end

-- Verdicts --------------------------------------------------------------------------------------

local function forget_event(key, me)
  if call('ZREM', key_of('held', me), key) == 0 and call('ZREM', key_of('waiting'), key) == 0 then
    take_from_everybody(key, 'held')
  end
  call('DEL', key_of('event', key), key_of('aliases', key))
  call('DECR', key_of('backlog'))
end

-- It is due since 1970: a clock that is set back must not delay what was never tried.
local function add_delivery(seq, sink, line)
  local id = string.format('%016d', call('INCR', key_of('delivery')))
  local line_key = key_of('line', sink, line)
  local behind = call('EXISTS', line_key)
  call('SADD', key_of('sinks'), sink)
  call('ZADD', line_key, id, id)
  call('HSET', key_of('entry', id), 'seq', seq, 'sink', sink, 'line', line, 'next_at', 0,
    'attempts', 0, 'error', '', 'behind', behind)
  call('SADD', key_of('deliveries', seq), id)
  if behind == 0 then
    call('ZADD', key_of('due', sink), 0, id)
  end
end

function op.commit(key, id, fingerprint, sensor, category, outcome, timestamp, record, decided_at,
  me, ...)
  local decided = call('HGET', key_of('decided'), key)
  if decided then
    return {0, tonumber(decided), call('HGET', key_of('verdict', decided), 'by')}
  end
  local seq = call('INCR', key_of('seq'))
  call('HSET', key_of('verdict', seq), 'record', record, 'by', me, 'sensor', sensor,
    'category', category, 'outcome', outcome, 'timestamp', timestamp, 'decided_at', decided_at,
    'accepted_at', call('HGET', key_of('event', key), 'accepted_at') or '')
  call('HSET', key_of('decided'), key, seq)
  call('ZADD', key_of('sensor', sensor), seq, seq)
  call('ZADD', key_of('category', category), seq, seq)
  call('ZADD', key_of('outcome', outcome), seq, seq)
  for _, identity in ipairs({key, id, fingerprint}) do
    name(identity, seq, 0, '')
  end
  for _, identity in ipairs(call('SMEMBERS', key_of('aliases', key))) do
    name(identity, seq, 0, '')
  end
  if call('EXISTS', key_of('event', key)) == 1 then
    forget_event(key, me)
  end
  for _, sink in ipairs({...}) do
    add_delivery(seq, sink, fingerprint == '' and key or fingerprint)
  end
  return {1, seq}
end

local function candidates(index, is_descending, bound, count)
  if index ~= '' then
    if is_descending then
      return call('ZREVRANGEBYSCORE', root .. index, bound, '-inf', 'LIMIT', 0, count)
    end
    return call('ZRANGEBYSCORE', root .. index, bound, '+inf', 'LIMIT', 0, count)
  end
  local last, found = tonumber(call('GET', key_of('seq')) or 0), {}
  local from = is_descending and math.min(bound, last) or math.max(bound, 1)
  local to = is_descending and math.max(from - count + 1, 1) or math.min(from + count - 1, last)
  for seq = from, to, is_descending and -1 or 1 do
    found[#found + 1] = seq
  end
  return found
end

local function is_wanted(seq, sensor, category, outcome, since, till)
  local facts = call('HMGET', key_of('verdict', seq), 'sensor', 'category', 'outcome', 'timestamp')
  return (sensor == '' or facts[1] == sensor)
    and (category == '' or facts[2] == category)
    and (outcome == '*' or facts[3] == outcome)
    and (since == '' or tonumber(facts[4]) >= tonumber(since))
    and (till == '' or tonumber(facts[4]) <= tonumber(till))
end

-- List verdicts from `bound` on. Looks at no more than `count` of them, so that Redis is soon free
-- for others, and tells the last one that it looked at, or 0 at the end.
function op.list(index, direction, bound, limit, count, ...)
  local answer, seen = {0}, 0
  local found = candidates(index, direction == 'down', tonumber(bound), tonumber(count))
  for _, seq in ipairs(found) do
    if #answer > 2 * limit then
      break
    end
    seen = seen + 1
    answer[1] = tonumber(seq)
    if is_wanted(seq, ...) then
      answer[#answer + 1] = tonumber(seq)
      answer[#answer + 1] = call('HGET', key_of('verdict', seq), 'record')
    end
  end
  if seen == #found and seen < tonumber(count) then
    answer[1] = 0
  end
  return answer
end

function op.last_seq()
  return tonumber(call('GET', key_of('seq')) or 0)
end

-- Deliveries ------------------------------------------------------------------------------------

local function stored_entry(id)
  local entry = call('HMGET', key_of('entry', id), 'sink', 'attempts', 'error', 'next_at', 'seq')
  entry[6] = call('HGET', key_of('verdict', entry[5]), 'record')
  entry[7] = id
  return entry
end

local function stored_entries(ids)
  local entries = {}
  for i, id in ipairs(ids) do
    entries[i] = stored_entry(id)
  end
  return entries
end

-- What is scheduled behind `horizon` was scheduled by a clock that was ahead: it is due as well.
function op.due(sink, now, horizon, limit, me, lease_ms, ...)
  enlist(me, lease_ms)
  local due, sending, in_hand, ids = key_of('due', sink), key_of('sending', me, sink), set_of({...}), {}
  for _, id in ipairs(call('ZRANGE', sending, 0, -1)) do
    if not in_hand[id] and #ids < tonumber(limit) then
      ids[#ids + 1] = id
    end
  end
  for _, span in ipairs({{'-inf', now}, {'(' .. horizon, '+inf'}}) do
    local from, to = unpack(span)
    local fresh = call('ZRANGEBYSCORE', due, from, to, 'WITHSCORES', 'LIMIT', 0, limit - #ids)
    for i = 1, #fresh, 2 do
      call('ZREM', due, fresh[i])
      call('ZADD', sending, fresh[i + 1], fresh[i])
      ids[#ids + 1] = fresh[i]
    end
  end
  return stored_entries(ids)
end

-- Take an entry out of its line, and let the next one of the line go.
local function leave_line(sink, line, id)
  local line_key = key_of('line', sink, line)
  call('ZREM', line_key, id)
  local first = call('ZRANGE', line_key, 0, 0)[1]
  if first and call('HGET', key_of('entry', first), 'behind') == '1' then
    call('HSET', key_of('entry', first), 'behind', 0)
    call('ZADD', key_of('due', sink), call('HGET', key_of('entry', first), 'next_at'), first)
  end
end

function op.mark_sent(me, ...)
  for _, id in ipairs({...}) do
    local sink, line, seq = unpack(call('HMGET', key_of('entry', id), 'sink', 'line', 'seq'))
    if sink then
      call('SREM', key_of('deliveries', seq), id)
      if call('ZREM', key_of('sending', me, sink), id) == 0
        and call('ZREM', key_of('due', sink), id) == 0 then
        take_from_everybody(id, 'sending', sink)
      end
      call('ZREM', key_of('dead'), id)
      call('DEL', key_of('entry', id))
      leave_line(sink, line, id)
    end
  end
end

-- Only the replica that delivers an entry may say that it failed.
function op.mark_failed(me, id, error, retry_at)
  local sink, line = unpack(call('HMGET', key_of('entry', id), 'sink', 'line'))
  if not sink or call('ZREM', key_of('sending', me, sink), id) == 0 then
    return 0
  end
  call('HINCRBY', key_of('entry', id), 'attempts', 1)
  call('HSET', key_of('entry', id), 'error', error)
  if retry_at ~= '' then
    call('HSET', key_of('entry', id), 'next_at', retry_at)
    call('ZADD', key_of('due', sink), retry_at, id)
  else
    call('ZADD', key_of('dead'), id, id)
    leave_line(sink, line, id)
  end
  return 1
end

-- Return when the event of a verdict was accepted, and a row for each of its deliveries.
function op.journey(seq)
  local found = {call('HGET', key_of('verdict', seq), 'accepted_at') or ''}
  local ids = call('SMEMBERS', key_of('deliveries', seq))
  table.sort(ids)
  for _, id in ipairs(ids) do
    local sink, attempts, error = unpack(
      call('HMGET', key_of('entry', id), 'sink', 'attempts', 'error'))
    local is_dead = call('ZSCORE', key_of('dead'), id)
    found[#found + 1] = {sink, is_dead and 'dead' or 'waiting', attempts, error}
  end
  return found
end

function op.dead_letters(after, limit)
  return stored_entries(
    call('ZRANGEBYSCORE', key_of('dead'), '(' .. after, '+inf', 'LIMIT', 0, limit))
end

-- Return how many entries were given up, then each sink with how many are due or being delivered.
function op.outbox_levels()
  local levels, replicas = {call('ZCARD', key_of('dead'))}, call('ZRANGE', key_of('replicas'), 0, -1)
  for _, sink in ipairs(call('SMEMBERS', key_of('sinks'))) do
    local count = call('ZCARD', key_of('due', sink))
    for _, replica in ipairs(replicas) do
      count = count + call('ZCARD', key_of('sending', replica, sink))
    end
    levels[#levels + 1] = sink
    levels[#levels + 1] = count
  end
  return levels
end

function op.dead_ids()
  return call('ZRANGE', key_of('dead'), 0, -1)
end

function op.replay(now, entry, ...)
  local count = 0
  record(entry)
  for _, id in ipairs({...}) do
    if call('ZREM', key_of('dead'), id) == 1 then
      local sink, line = unpack(call('HMGET', key_of('entry', id), 'sink', 'line'))
      local line_key = key_of('line', sink, line)
      local behind = call('EXISTS', line_key)
      call('ZADD', line_key, id, id)
      call('HSET', key_of('entry', id), 'attempts', 0, 'next_at', now, 'behind', behind)
      if behind == 0 then
        call('ZADD', key_of('due', sink), now, id)
      end
      count = count + 1
    end
  end
  return count
end

-- Alert types -----------------------------------------------------------------------------------

function op.prompts()
  return call('HVALS', key_of('prompts'))
end

function op.prompt(name_key)
  return call('HGET', key_of('prompts'), name_key)
end

function op.prompt_versions(name_key)
  return call('HVALS', key_of('prompts', name_key))
end

-- Store a version, unless another replica edited the alert type since it was read.
function op.put_prompt(name_key, version, expected, blob, entry)
  if (call('HGET', key_of('prompts'), name_key) or '') ~= expected then
    return 0
  end
  call('HSET', key_of('prompts'), name_key, blob)
  call('HSET', key_of('prompts', name_key), version, blob)
  record(entry)
  return 1
end

-- Realtime rules --------------------------------------------------------------------------------

function op.rules()
  return call('HVALS', key_of('rules'))
end

function op.rule(id)
  return call('HGET', key_of('rules'), id)
end

-- Store a rule whose revision follows the stored one.
function op.put_rule(id, revision, blob, entry)
  local known = call('HGET', key_of('rule_revisions'), id) or 0
  if tonumber(known) + 1 ~= tonumber(revision) then
    return 0
  end
  call('HSET', key_of('rules'), id, blob)
  call('HSET', key_of('rule_revisions'), id, revision)
  record(entry)
  return 1
end

function op.delete_rule(id, entry)
  call('HDEL', key_of('rule_revisions'), id)
  local count = call('HDEL', key_of('rules'), id)
  if count == 1 then
    record(entry)
  end
  return count
end

-- Arms ------------------------------------------------------------------------------------------

-- List up to `limit` choices before a version, or the latest when it is -1; oldest first.
function op.arm_choices(before, limit)
  local last = call('LLEN', key_of('arm_choices'))
  if before ~= '-1' then
    last = math.min(last, before - 1)
  end
  if last < 1 then
    return {}
  end
  return call('LRANGE', key_of('arm_choices'), math.max(last - limit, 0), last - 1)
end

-- Store a choice whose version follows the last one.
function op.append_arm_choice(version, choice, entry)
  if call('LLEN', key_of('arm_choices')) + 1 ~= tonumber(version) then
    return 0
  end
  call('RPUSH', key_of('arm_choices'), choice)
  record(entry)
  return 1
end

-- Comparisons of arms ---------------------------------------------------------------------------

local function compared_indexes(sensor, category)
  return {key_of('compared_all'), key_of('compared_bare'), key_of('compared_sensor', sensor),
    key_of('compared_category', category)}
end

local function is_disputed(key)
  local hash, said = key_of('compared', key), {}
  if call('EXISTS', key_of('labels', key)) == 1 then
    return false
  end
  for _, arm in ipairs(cjson.decode(call('HGET', hash, 'arms'))) do
    said[cjson.decode(call('HGET', hash, '=' .. arm)).outcome] = true
  end
  return said.confirmed and said.rejected
end

-- Note whether an event is disputed now.
local function settle(key)
  if is_disputed(key) then
    local position = call('HGET', key_of('compared', key), 'position')
    call('ZADD', key_of('compared_disputed'), position, key)
  else
    call('ZREM', key_of('compared_disputed'), key)
  end
end

function op.disputes()
  return call('ZCARD', key_of('compared_disputed'))
end

-- Store an event, and what arms said about it: pairs of an arm and its answer.
function op.compare(key, event, sensor, category, timestamp, stored_at, ...)
  local hash, answers = key_of('compared', key), {...}
  if call('EXISTS', hash) == 0 then
    local position = call('INCR', key_of('compared_position'))
    call('HSET', hash, 'event', event, 'sensor', sensor, 'category', category,
      'timestamp', timestamp, 'stored_at', stored_at, 'position', position, 'arms', '[]')
    for _, index in ipairs(compared_indexes(sensor, category)) do
      call('ZADD', index, position, key)
    end
  end
  local arms = cjson.decode(call('HGET', hash, 'arms'))
  for i = 1, #answers, 2 do
    if call('HSET', hash, '=' .. answers[i], answers[i + 1]) == 1 then
      arms[#arms + 1] = answers[i]
    end
  end
  if #arms > 0 then
    call('HSET', hash, 'arms', cjson.encode(arms))
  end
  settle(key)
  return 1
end

function op.label(label, key, ...)
  if call('EXISTS', key_of('compared', key)) == 0 then
    op.compare(key, ...)
  end
  call('ZREM', key_of('compared_bare'), key)
  call('RPUSH', key_of('labels', key), label)
  settle(key)
  return 1
end

-- Take the latest label back, if it is the one that is meant.
function op.withdraw_label(key, expected, withdrawn)
  local labels = key_of('labels', key)
  if call('LINDEX', labels, -1) ~= expected then
    return 0
  end
  call('RPOP', labels)
  call('RPUSH', key_of('withdrawn', key), withdrawn)
  if call('EXISTS', labels) == 0 then
    local position = call('HGET', key_of('compared', key), 'position')
    call('ZADD', key_of('compared_bare'), position, key)
  end
  settle(key)
  return 1
end

function op.compared_labels(key)
  local found = call('LRANGE', key_of('withdrawn', key), 0, -1)
  for _, label in ipairs(call('LRANGE', key_of('labels', key), 0, -1)) do
    found[#found + 1] = label
  end
  return found
end

-- Return position, event, latest label and answers in their order; nothing for an unknown key.
function op.compared(key)
  local hash = key_of('compared', key)
  local facts = call('HMGET', hash, 'position', 'event', 'arms')
  if not facts[1] then
    return {}
  end
  local found = {facts[1], facts[2], call('LINDEX', key_of('labels', key), -1) or ''}
  for _, arm in ipairs(cjson.decode(facts[3])) do
    found[#found + 1] = call('HGET', hash, '=' .. arm)
  end
  return found
end

local function is_wanted_comparison(key, sensor, category, since, till, labelled, ...)
  local hash = key_of('compared', key)
  local facts = call('HMGET', hash, 'sensor', 'category', 'timestamp')
  for _, arm in ipairs({...}) do
    if call('HEXISTS', hash, '=' .. arm) == 0 then
      return false
    end
  end
  return (sensor == '' or facts[1] == sensor)
    and (category == '' or facts[2] == category)
    and (since == '' or tonumber(facts[3]) >= tonumber(since))
    and (till == '' or tonumber(facts[3]) <= tonumber(till))
    and (labelled == '' or call('EXISTS', key_of('labels', key)) == tonumber(labelled))
end

-- List events from `bound` down, as `list` lists verdicts.
function op.list_compared(index, bound, limit, count, ...)
  local answer, seen = {0}, 0
  local found = call('ZREVRANGEBYSCORE', root .. index, bound, '-inf', 'WITHSCORES',
    'LIMIT', 0, count)
  for i = 1, #found, 2 do
    if #answer > tonumber(limit) then
      break
    end
    seen = seen + 1
    answer[1] = tonumber(found[i + 1])
    if is_wanted_comparison(found[i], ...) then
      answer[#answer + 1] = op.compared(found[i])
    end
  end
  if seen == #found / 2 and seen < tonumber(count) then
    answer[1] = 0
  end
  return answer
end

-- Forget up to `batch` of the oldest events without a label that are superfluous or too old.
function op.trim_compared(keep, before, batch)
  local last = tonumber(call('GET', key_of('compared_position')) or 0)
  local oldest = call('ZRANGE', key_of('compared_bare'), 0, batch - 1, 'WITHSCORES')
  for i = 1, #oldest, 2 do
    local key, position = oldest[i], tonumber(oldest[i + 1])
    local hash = key_of('compared', key)
    local sensor, category, stored_at = unpack(
      call('HMGET', hash, 'sensor', 'category', 'stored_at'))
    if position > last - keep and tonumber(stored_at) >= tonumber(before) then
      return (i - 1) / 2
    end
    for _, index in ipairs(compared_indexes(sensor, category)) do
      call('ZREM', index, key)
    end
    call('ZREM', key_of('compared_disputed'), key)
    call('DEL', hash, key_of('withdrawn', key))
  end
  return #oldest / 2
end

return op[ARGV[1]](unpack(ARGV, 2))
