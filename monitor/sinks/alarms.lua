-- Adds one transition of one alarm to its team's Stream, exactly once.
--
-- KEYS[1]  the team's Stream of alarms
-- KEYS[2]  Sorted Set of what is known of this athlete, strap, boot and kind; the score is an episode, a member is
--          "<episode>|<transition>|<Stream entry>" ("reacknowledged", "reunanswered" after an escalation), with
--          "|<known sample>" behind it for "cleared", or "<episode>|same|<episode>" for one that is another's resend
-- KEYS[3]  with an episode behind it the key that is there as long as some monitor sees the condition of that alarm
-- ARGV     1 transition, 2 episode, 3 samples within which two onsets are one episode, 4 identity, 5 alarm,
--          6 entries the Stream keeps, 7 members the Sorted Set keeps, 8 seconds until it is forgotten,
--          9 known sample, 10 milliseconds of Unix time at which it began, 11 milliseconds that clocks may differ
--
-- Answers {what, episode, Stream entry}: "added"; "known": it was there before; "rename": send it again under the
-- episode given, which is the same one; "unknown": an acknowledgement of what was never raised. A raise that was there
-- before answers with the entry of the acknowledgement that stands, or with none.

local stream, seen, held = KEYS[1], KEYS[2], KEYS[3]
local transition, episode, reach = ARGV[1], ARGV[2], tonumber(ARGV[3])

local function at(from, to)
  local found = {}
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', seen, from, to)) do
    local known, what, entry = string.match(member, '^(%d+)|(%a+)|(.+)$')
    found[#found + 1] = { episode = known, what = what, entry = entry }
  end
  return found
end

local function remember(what, entry)
  redis.call('ZADD', seen, episode, episode .. '|' .. what .. '|' .. entry)
  redis.call('ZREMRANGEBYRANK', seen, 0, -(tonumber(ARGV[7]) + 1))
  redis.call('EXPIRE', seen, ARGV[8])
end

local function is_seen_now(names)
  for _, name in ipairs(names) do
    if redis.call('EXISTS', held .. name) == 1 then
      return true
    end
  end
  return false
end

-- A monitor that began later knows a condition by a later onset. Its raise belongs to the alarm that is open and whose
-- condition some monitor sees now, or that was not over yet when the raise became known. Samples of a strap that began
-- to count anew under its old boot number say nothing of that: what began after the other was over is another.
local function spans()
  local names, cleared, over_at, raises = {}, {}, {}, {}
  for _, known in ipairs(at('-inf', '+inf')) do
    if known.what == 'raised' then
      raises[#raises + 1] = known.episode
      names[known.episode] = names[known.episode] or {}
      table.insert(names[known.episode], known.episode)
    elseif known.what == 'same' then
      names[known.entry] = names[known.entry] or {}
      table.insert(names[known.entry], known.episode)
    elseif known.what == 'cleared' then
      cleared[known.episode] = tonumber(string.match(known.entry, '|(%d+)$') or '-1')
      over_at[known.episode] = tonumber(string.match(known.entry, '^(%d+)')) + tonumber(ARGV[11])
    end
  end
  for index = #raises, 1, -1 do
    local found = raises[index]
    if tonumber(found) < tonumber(episode) then
      if cleared[found] and tonumber(ARGV[9]) <= cleared[found] and tonumber(ARGV[10]) <= over_at[found] then
        return found
      elseif not cleared[found] and is_seen_now(names[found]) then
        return found
      end
    end
  end
  return nil
end

-- An alarm that has escalated since is acknowledged, or found unanswered, anew.
local what_now = transition
if transition == 'acknowledged' or transition == 'unanswered' then
  for _, known in ipairs(at(episode, episode)) do
    if known.what == 'escalated' then
      what_now = 're' .. transition
    end
  end
end

-- The entry that acknowledges a raised alarm as it is now; none before anybody has.
local function acknowledgement(name)
  local found = { acknowledged = '' }
  for _, known in ipairs(at(name, name)) do
    found[known.what] = known.entry
  end
  return found.escalated and (found.reacknowledged or '') or found.acknowledged
end

-- A monitor that began after somebody had acknowledged may not know it: what is answered is not unanswered.
if transition == 'unanswered' and acknowledgement(episode) ~= '' then
  return { 'known', episode, acknowledgement(episode) }
end

local raised = nil
for _, known in ipairs(at(episode, episode)) do
  if known.what == what_now then
    return { 'known', episode, transition == 'raised' and acknowledgement(episode) or known.entry }
  elseif known.what == 'raised' then
    raised = episode
  elseif known.what == 'same' then
    raised = known.entry
  end
end

if raised == nil then
  local distance = reach
  for _, known in ipairs(at(tonumber(episode) - reach, tonumber(episode) + reach)) do
    local apart = math.abs(tonumber(known.episode) - tonumber(episode))
    if known.what == 'raised' and apart <= distance and (raised == nil or apart < distance) then
      raised, distance = known.episode, apart
    end
  end
  if raised == nil and transition == 'raised' then
    raised = spans()
  end
  if raised ~= nil and transition == 'raised' then
    remember('same', raised)
  end
end

if raised ~= nil and raised ~= episode then
  if transition == 'raised' then
    return { 'known', raised, acknowledgement(raised) }
  end
  return { 'rename', raised, '' }
end
if raised == nil and transition == 'acknowledged' then
  return { 'unknown', episode, '' }
end

local entry = redis.call(
  'XADD', stream, 'MAXLEN', '~', ARGV[6], '*', 'identity', ARGV[4], 'transition', transition, 'alarm', ARGV[5]
)
remember(what_now, transition == 'cleared' and entry .. '|' .. ARGV[9] or entry)
return { 'added', episode, entry }
