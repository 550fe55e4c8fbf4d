-- Headers and targets come as arguments: one header "Name: value" or "-", then the targets, in rotation.
-- Or "raw" and a file: its requests are sent as they are, in rotation; before each stands a line with its length.
-- What wrk measured is printed as one line of JSON (times in microseconds).

local requests, at = {}, 0

function init(arguments)
  local header = table.remove(arguments, 1)
  if header == "raw" then
    requests = all_of(arguments[1])
    request = following
    return
  end
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

function all_of(path)
  local file, found = io.open(path, "rb"), {}
  local length = file:read("*n")
  while length do
    file:read(1) -- the end of the line
    found[#found + 1] = file:read(length)
    length = file:read("*n")
  end
  file:close()
  return found
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
