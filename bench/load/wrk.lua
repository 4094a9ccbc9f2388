-- What wrk sends and reports. Arguments: the file of tokens, the number of threads, the mean pause of a connection
-- between two requests in ms, or 0.

local threads = {}

function setup(thread)
   thread:set("id", #threads)
   table.insert(threads, thread)
end

function init(args)
   local file, count, pause = args[1], tonumber(args[2]), tonumber(args[3])
   local requests, n = {}, 0
   for token in io.lines(file) do
      wrk.headers["Authorization"] = "Bearer " .. token
      if n % count == id then
         requests[#requests + 1] = wrk.format()
      end
      n = n + 1
   end

   -- With one token the request stays the same, and wrk sends it without asking.
   repeated = 0
   if n > 1 then
      local next = 0
      request = function()
         if next == #requests then
            next, repeated = 0, repeated + 1
         end
         next = next + 1
         return requests[next]
      end
   end

   -- Pauses differ, so that connections do not send in step.
   if pause > 0 then
      math.randomseed(id + 1)
      delay = function() return math.random(0, 2 * pause) end
   end
end

function done(summary, latency)
   local rounds = 0
   for _, thread in ipairs(threads) do
      rounds = rounds + thread:get("repeated")
   end
   local e = summary.errors
   io.write(string.format("result requests=%d duration=%d p50=%d p99=%d refused=%d broken=%d repeated=%d\n",
      summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
      e.status, e.connect + e.read + e.write + e.timeout, rounds))
end
