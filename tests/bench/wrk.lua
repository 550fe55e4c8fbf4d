-- Headers and targets come as arguments: one header "Name: value" or "-", then the targets, in rotation.
-- What wrk measured is printed as one line of JSON (times in microseconds).

local requests, at = {}, 0

function init(arguments)
  local header = table.remove(arguments, 1)
  local name, value = header:match("^([^:]+): (.*)$")
  if name then
    wrk.headers[name] = value
  end
  local first = arguments[1]
  if first:sub(1, 1) == "@" then
    arguments = {}
    for line in io.lines(first:sub(2)) do
      arguments[#arguments + 1] = line
    end
  end
  wrk.path = arguments[1]
  if #arguments > 1 then -- a function is asked for each request, which takes of the time that the load has
    for number, target in ipairs(arguments) do
      requests[number] = wrk.format("GET", target)
    end
    request = following
  end
end

function following()
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"bytes":%d,"duration":%d,"p50":%d,"p99":%d,"broken":%d,"refused":%d}\n',
    summary.requests, summary.bytes, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.timeout, errors.status
  ))
end
