-- Tell the origin's time.
-- KEYS[1]  what the origin's clock is ahead of this server's, in seconds
-- Returns the origin's time in seconds since the epoch, or nil where it is not known.
local ahead = tonumber(redis.call('GET', KEYS[1]) or '')
if not ahead then
  return nil
end
local time = redis.call('TIME')
return string.format('%.6f', time[1] + time[2] / 1000000 + ahead)
