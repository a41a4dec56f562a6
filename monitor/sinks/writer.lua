-- Writes an athlete's state unless another monitor is its writer just now.
--
-- Whoever writes stays the writer for a while. Another one becomes it once that is over, or at once if it hears the strap
-- and the writer does not.
--
-- KEYS[1]  the athlete's Hash: state, writer, until (Unix milliseconds), hears
-- ARGV     1 who writes, 2 whether it hears the strap (1 or 0), 3 the state, 4 milliseconds for which it stays the writer,
--          5 seconds until all is forgotten
--
-- Answers 1 if it was written, 0 if another one writes.

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local known = redis.call('HMGET', KEYS[1], 'writer', 'until', 'hears')

if known[1] and known[1] ~= ARGV[1] and tonumber(known[2]) > now then
  if not (ARGV[2] == '1' and known[3] == '0') then
    return 0
  end
end
redis.call(
  'HSET', KEYS[1], 'state', ARGV[3], 'writer', ARGV[1], 'until', string.format('%.0f', now + tonumber(ARGV[4])),
  'hears', ARGV[2]
)
redis.call('EXPIRE', KEYS[1], ARGV[5])
return 1
