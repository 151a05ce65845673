# Prints the thresholds as malloc_setup.py does, beside a thread, after a request and a wait: `low` where a large block is mapped apart,
# `middle` where 20 MiB at the top of the heap are given back at once, else `high`.
require "fiddle"
require "socket"

def heap
  first, last = File.read("/proc/self/maps").match(/^(\h+)-(\h+) .*\[heap\]$/).captures.map { |address| address.to_i(16) }
  last - first
end

Thread.new { sleep }
listener = TCPServer.new("127.0.0.1", 0)
client = TCPSocket.new("127.0.0.1", listener.addr[1])
client.write("GET / HTTP/1.1\r\n\r\n")
connection = listener.accept
connection.readpartial(1000)
connection.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
client.readpartial(1000)
IO.select([listener], nil, nil, 0.01)
before = heap
block = Fiddle.malloc(20 << 20)
with = heap
Fiddle.free(block)
puts(with == before ? "low" : heap < with ? "middle" : "high")
