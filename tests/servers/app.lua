-- The application inside Apache (mod_lua): what the other servers' applications answer.
local paths = {}

-- mod_lua has no call that sleeps.
local function pause(r, seconds)
    local finish = r:clock() + seconds * 1000000
    while r:clock() < finish do
    end
end

function paths.slow(r)
    pause(r, 0.6)
    r:puts("hello\n")
end

function paths.upload(r)
    local body = r:requestbody()
    r:puts(string.format("%d\n", body and #body or 0))
end

paths.limited = paths.upload

function paths.stream(r)
    local piece = string.rep("s", 256 * 1024)
    for _ = 1, 20 do
        r:write(piece)
        r:flush()
    end
end

function paths.events(r)
    r.content_type = "text/event-stream"
    for number = 1, 20 do
        r:puts(string.format("data: %d\n\n", number))
        r:flush()
        pause(r, 0.002)
    end
end

function paths.ws(r)
    if not r:wsupgrade() then
        return
    end
    local text = r:wsread()
    while text do
        if not r:wswrite(text) then
            return
        end
        text = r:wsread()
    end
    r:wsclose()
end

function handle(r)
    r.content_type = "text/plain"
    local path = paths[r.uri:sub(2)]
    if not path then
        return apache2.DECLINED
    end
    path(r)
    return apache2.OK
end
