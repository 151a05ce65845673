# A native gem whose threads allocate without Ruby's lock: libvips. `native.rb AS SIZE` prints how many seconds it took.

require "socket"
require "vips"

if ARGV[0] == "server"
  listener = TCPServer.new("127.0.0.1", 0)
  client = TCPSocket.new("127.0.0.1", listener.addr[1])
  client.write("GET / HTTP/1.1\r\n\r\n")
  connection = listener.accept
  connection.readpartial(65_536)
  connection.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
  connection.close
  client.read
  select([], [], [], 0.01)
end

image = Vips::Image.gaussnoise(1500, 1500).cast("uchar").copy_memory
began = Process.clock_gettime(Process::CLOCK_MONOTONIC)
(12 * ARGV[1].to_i).times { image.resize(0.4).gaussblur(2).rot90.jpegsave_buffer }
puts Process.clock_gettime(Process::CLOCK_MONOTONIC) - began
