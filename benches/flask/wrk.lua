-- Sends the token named in the environment, where no list of processes shows it, and says wrk's figures
-- in one line: requests, seconds, p99 in ms, failures (sockets, time-outs, statuses over 399).
local token = os.getenv("TOKEN")
if token then
    wrk.headers["Authorization"] = "Bearer " .. token
end

function done(summary, latency, _)
    local errors = summary.errors
    local failed = errors.connect + errors.read + errors.write + errors.timeout + errors.status
    io.write(string.format("figures %d %.3f %.2f %d\n",
        summary.requests, summary.duration / 1e6, latency:percentile(99) / 1e3, failed))
end
