-- For wrk -s: everything that wrk counted as one line of JSON, the last one that it prints.
-- wrk's latencies hold, for each one that is far above the mean time between a connection's
-- requests, also those that requests sent meanwhile would have seen.

function done(summary, latency, requests)
    local errors, percentiles, counts = {}, {}, {}
    for kind, count in pairs(summary.errors) do
        errors[#errors + 1] = string.format('"%s": %d', kind, count)
    end
    for _, share in ipairs({ 50, 99, 99.9 }) do
        percentiles[#percentiles + 1] = string.format('"p%g": %d', share, latency:percentile(share))
    end
    for i = 1, #latency do
        local microseconds, count = latency(i)
        counts[#counts + 1] = string.format("[%d, %d]", microseconds, count)
    end
    print(string.format(
        '{"operations": %d, "bytes": %d, "seconds": %.6f, "errors": {%s}, "latency_us": {%s}, "histogram_us": [%s]}',
        summary.requests, summary.bytes, summary.duration / 1e6, table.concat(errors, ", "),
        table.concat(percentiles, ", "), table.concat(counts, ", ")))
end
