-- Cut the log of one site below a snapshot, or say everything that stands against it.
--
-- KEYS[1] events    stream
-- KEYS[2] head      hash
-- KEYS[3] snapshot  hash: chunks by number, and what it is of
-- KEYS[4] archive   hash: how far the history outside has come
-- KEYS[5] edges     set: names of the edges that ever reported
-- KEYS[6..]         hash: the report of each edge in ARGV
--
-- ARGV[1] genesis   the log that the caller means
-- ARGV[2] seq       the snapshot covers everything up to it
-- ARGV[3] h         its hash, 16 hex digits
-- ARGV[4] decimal   the same as a signed number, as entries of version 2 show it
-- ARGV[5] id        its entry, the first that stays
-- ARGV[6] taken     entry that tells of the snapshot, or ''
-- ARGV[7] verified  entry that tells of its verification, or ''
-- ARGV[8] dry       1: only say what would go
-- ARGV[9] edges     how many names follow, in the order of their KEYS
-- ARGV[..] states   how many names follow: what an edge reports that follows another log
-- ARGV[..]          names of edges that are lost
--
-- Returns one of
--   OK count         so many events went, or would go
--   REFUSED reasons  nothing was cut
--   FOREIGN what     another log, or none
--
-- Every check stands before the one write.

local genesis, seq, h, decimal, id = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local reasons = {}

local function refuse(reason)
    reasons[#reasons + 1] = reason
end

local function type_of(key)
    local kind = redis.call('TYPE', key)
    return kind.ok or kind
end

local function at_least(text, wanted)
    return text and string.match(text, '^%d+$') and tonumber(text) >= tonumber(wanted)
end

local function entry(entry_id, kind)
    local fields = {}
    if entry_id == '' then
        return fields
    end
    local found = redis.call('XRANGE', KEYS[1], entry_id, entry_id)
    if found[1] then
        local flat = found[1][2]
        for i = 1, #flat, 2 do
            fields[flat[i]] = flat[i + 1]
        end
    end
    if kind and fields['type'] ~= kind then
        return {}
    end
    return fields
end

if type_of(KEYS[2]) ~= 'hash' then
    return {'FOREIGN', 'there is no log'}
end
local head = redis.call('HMGET', KEYS[2], 'genesis', 'seq')
if head[1] ~= genesis then
    return {'FOREIGN', 'it has genesis ' .. tostring(head[1])}
end
if type_of(KEYS[1]) ~= 'stream' then
    return {'FOREIGN', 'its events are gone'}
end

local own = entry(id)
local meta = redis.call('HMGET', KEYS[3], 'genesis', 'seq', 'h', 'digest', 'chunks')
if not own['h'] then
    refuse('event ' .. seq .. ' is not in the log')
end
if not meta[5] then
    refuse('there is no snapshot at event ' .. seq)
else
    if meta[1] ~= genesis or meta[2] ~= seq or meta[3] ~= h
        or own['h'] ~= h and own['h'] ~= decimal then
        refuse('the snapshot at event ' .. seq .. ' is not of this log')
    end
    for number = 0, tonumber(meta[5]) - 1 do
        if redis.call('HEXISTS', KEYS[3], string.format('%.0f', number)) == 0 then
            refuse('the snapshot at event ' .. seq .. ' has lost a chunk')
            break
        end
    end
end
local taken, verified = entry(ARGV[6], 'SnapshotTaken'), entry(ARGV[7], 'SnapshotVerified')
if taken['covers'] ~= seq or taken['digest'] ~= meta[4] then
    refuse('the log does not tell of that snapshot')
end
if verified['covers'] ~= seq or verified['digest'] ~= taken['digest']
    or verified['verifier'] == taken['taker'] then
    refuse('no other process has verified the snapshot; run: leasectl verify')
end

local archive = redis.call('HMGET', KEYS[4], 'genesis', 'seq')
if archive[1] ~= genesis or not at_least(archive[2], seq) then
    refuse('the history is archived up to event '
        .. (archive[1] == genesis and archive[2] or '0') .. ' only; run: leasectl archive')
end

local count, at, known, foreign, lost = tonumber(ARGV[9]), 9, {}, {}, {}
local names = {}
for i = 1, count do
    names[i] = ARGV[at + i]
    known[names[i]] = true
end
at = at + count + 1
for i = at + 1, at + tonumber(ARGV[at]) do
    foreign[ARGV[i]] = true
end
for i = at + tonumber(ARGV[at]) + 1, #ARGV do
    lost[ARGV[i]] = true
end
for _, name in ipairs(redis.call('SMEMBERS', KEYS[5])) do
    if not known[name] then
        refuse('edge ' .. name .. ' has just come; ask again')
    end
end
for i, name in ipairs(names) do
    local report = redis.call('HMGET', KEYS[5 + i], 'applied', 'following')
    if not lost[name] then
        if report[2] and foreign[report[2]] then
            refuse('edge ' .. name .. ' follows another log: it is ' .. report[2])
        elseif not at_least(report[1], seq) then
            refuse('edge ' .. name .. ' has applied events up to ' .. (report[1] or '0') .. ' only')
        end
    end
end

if #reasons > 0 then
    return {'REFUSED', unpack(reasons)}
end
local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', '1')[1][1]
local gone = tonumber(seq) - tonumber(string.match(first, '%-(%d+)$'))
if ARGV[8] ~= '1' then
    gone = redis.call('XTRIM', KEYS[1], 'MINID', id)
end
return {'OK', string.format('%.0f', gone)}
