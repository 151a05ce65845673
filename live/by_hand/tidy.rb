# Has a Ruby collect its garbage twice when it gets SIGRTMIN+7 (41 under glibc): `ruby -r ./tidy.rb`. See sitecustomize.py.
trap(41) do
  2.times { GC.start }
  $stderr.syswrite("tidy pid=#{Process.pid}\n")
end
