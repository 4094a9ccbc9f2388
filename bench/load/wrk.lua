-- What wrk sends and reports. Arguments: the file of tokens, the number of threads, the mean pause of a connection
-- between two requests in ms, or 0.

local threads = {}

function setup(thread)
   thread:set("id", #threads)
   table.insert(threads, thread)
end

-- A thread begins to send while the next one is set up, which is not counted as time. So nothing here may take long:
-- tokens are read as they are sent.
function init(args)
   local count, pause = tonumber(args[2]), tonumber(args[3])
   local file = assert(io.open(args[1]))
   local size = file:seek("end")
   local from, to = math.floor(size * id / count), math.floor(size * (id + 1) / count)
   repeated = 0

   -- With one token the request stays the same, and wrk sends it without asking.
   file:seek("set", 0)
   local first = file:read()
   wrk.headers["Authorization"] = "Bearer " .. first
   if #first + 1 < size then
      send(file, from, to)
   end

   -- Pauses differ, so that connections do not send in step.
   if pause > 0 then
      math.randomseed(id + 1)
      delay = function() return math.random(0, 2 * pause) end
   end
end

-- Requests get the tokens whose lines begin in this part of the file, which belongs to this thread.
function send(file, from, to)
   wrk.headers["Authorization"] = "Bearer TOKEN"
   local head, tail = wrk.format():match("^(.*)TOKEN(.*)$")
   local at
   local function rewind()
      file:seek("set", math.max(from - 1, 0))
      at = from
      if from > 0 then -- the line that begins before, or the end of it, belongs to the thread before
         at = from + #file:read()
      end
   end
   rewind()
   request = function()
      if at >= to then
         repeated = repeated + 1
         rewind()
      end
      local token = file:read()
      at = at + #token + 1
      return head .. token .. tail
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
