#!/usr/bin/env bash
# What scripts/compare-systems does in each of its systems, as process 1: the steps, each one's output and exit code in
# /compare/outputs. What differs from run to run (times, keys, addresses, process ids) is taken out here.
# --packages prints the packages, one to a line.
set -euo pipefail

# With maintainer scripts and services of every kind.
packages=(
    adduser apache2 bind9-host build-essential ca-certificates chromium cron curl dbus default-jdk-headless gdb git less logrotate
    man-db mariadb-server memcached nginx nodejs openssh-client openssh-server perl php-cli poppler-utils postgresql procps python3
    redis-server rsyslog ruby strace sudo systemd tcl valgrind vim-tiny
)
if [[ ${1:-} == --packages ]]; then
    printf '%s\n' "${packages[@]}"
    exit
fi

cd /compare
mkdir -p outputs
export DEBIAN_FRONTEND=noninteractive
hostname localhost
ip link set lo up

# NAME COMMAND [ARGUMENT…]: one step.
step() {
    local name=$1 code=0
    shift
    printf '%s … ' "$name"
    timeout --kill-after 10 900 bash -c "$(declare -f "$1"); set -euo pipefail; \"\$@\"" step "$@" \
        >"outputs/$name.out" 2>"outputs/$name.err" </dev/null || code=$?
    echo "$code" >"outputs/$name.exit"
    printf '%s [%d s]\n' "$code" "$SECONDS"
}

# NAME SCRIPT: takes from the outputs of a step what no two runs have in common.
differs() { sed -i -E "$2" "outputs/$1.out" "outputs/$1.err"; }

# NAME: its lines may come in any order.
unordered() { sort -o "outputs/$1.out" "outputs/$1.out"; }

# A program that a server is asked until it answers; a server that cannot is told by the step's exit code.
installed() { apt-get install --yes --no-install-recommends --no-download "$@"; }

states() {
    dpkg --audit
    # shellcheck disable=SC2016 # dpkg's own fields
    dpkg-query --show --showformat '${Package} ${Version} ${db:Status-Status}\n'
    dpkg --verify || true
}

# Every file there is: kind, mode, owner, name; not what names itself at random or belongs to the comparison.
files() {
    find / -xdev \( -path /compare -o -path /proc -o -path /sys -o -path /dev -o -path /tmp -o -path /run -o -path /var/cache/apt \
        -o -path /etc/ld.so.preload -o -path /usr/lib/libautotrim.so \) -prune -o -printf '%M %u %g %p %l\n' \
        | sed -E 's/[0-9a-f]{8}\.0 /HASH /; /__pycache__|\/var\/lib\/mysql\/.*(tc\.log|\.pid)/d' | sort
}

build() {
    tar --extract --no-same-owner --file hello_*.orig.tar.?z
    mv hello-*/ hello
    cd hello
    ./configure
    make -j2
    make check
    sha256sum hello
}

repository() {
    export GIT_CONFIG_COUNT=2 GIT_CONFIG_KEY_0=user.name GIT_CONFIG_VALUE_0=tester GIT_CONFIG_KEY_1=user.email GIT_CONFIG_VALUE_1=tester@localhost
    export GIT_AUTHOR_DATE='2026-01-01T00:00:00Z' GIT_COMMITTER_DATE='2026-01-01T00:00:00Z'
    # Not what was built: the compilers' logs tell the time.
    mkdir source
    tar --extract --no-same-owner --strip-components 1 --directory source --file hello_*.orig.tar.?z
    cd source
    git init --quiet --initial-branch main .
    git add --force .
    git commit --quiet --message 'Everything'
    for number in 1 2 3 4 5; do
        echo "$number" >>numbers
        git add numbers
        git commit --quiet --message "$number"
    done
    git gc --quiet --aggressive
    cd ..
    git clone --no-local source cloned
    cd cloned
    git gc
    git fsck --full
    git log --format='%H %s'
    git count-objects
}

manuals() {
    mandb --create --quiet
    man --pager cat git-gc | sed -n 1,50p
    man --pager cat --apropos 'print' | sort
    man --troff-device=utf8 --pager cat 2>&1 ls | head -n 5 || true
}

java_program() {
    cat >Hello.java <<'END'
import java.util.stream.IntStream;
public class Hello {
    public static void main(String[] arguments) throws Exception {
        var server = com.sun.net.httpserver.HttpServer.create(new java.net.InetSocketAddress("127.0.0.1", 0), 0);
        server.createContext("/", exchange -> {
            byte[] answer = "hello".getBytes();
            exchange.sendResponseHeaders(200, answer.length);
            exchange.getResponseBody().write(answer);
            exchange.close();
        });
        server.start();
        var client = java.net.http.HttpClient.newHttpClient();
        var uri = java.net.URI.create("http://127.0.0.1:" + server.getAddress().getPort());
        var request = java.net.http.HttpRequest.newBuilder(uri).build();
        for (int i = 0; i < 50; i++)
            System.out.println(client.send(request, java.net.http.HttpResponse.BodyHandlers.ofString()).body());
        server.stop(0);
        System.out.println(IntStream.range(0, 1000000).parallel().mapToLong(i -> i * (long) i).sum());
    }
}
END
    javac Hello.java
    java Hello
    java --version
}

scripts_of_languages() {
    python3 -c 'import json, multiprocessing
with multiprocessing.Pool(2) as pool: print(json.dumps(pool.map(abs, range(-1000, 0)))[:50])'
    perl -MSocket -e 'socketpair(A, B, AF_UNIX, SOCK_STREAM, 0); if (!fork) { syswrite B, "child\n"; exit 3 } print scalar <A>; wait; print $? >> 8, "\n"'
    ruby -rsocket -e 'server = TCPServer.new("127.0.0.1", 0); Thread.new { 20.times { c = server.accept; c.write "ruby\n"; c.close } }
        20.times { print TCPSocket.new("127.0.0.1", server.addr[1]).read }'
    # shellcheck disable=SC2016 # JavaScript's own
    node -e 'const http = require("http"); const server = http.createServer((_, answer) => answer.end("node")).listen(0, "127.0.0.1", async () => {
        for (let i = 0; i < 20; i++) console.log(await (await fetch(`http://127.0.0.1:${server.address().port}`)).text()); server.close(); server.closeAllConnections() })'
    # shellcheck disable=SC2016 # PHP's own
    php -r '$pair = stream_socket_pair(STREAM_PF_UNIX, STREAM_SOCK_STREAM, 0); fwrite($pair[0], "php\n"); echo fgets($pair[1]);'
    echo 'puts [exec echo tcl]' | tclsh
}

postgresql_server() {
    local cluster
    read -r -a cluster < <(pg_lsclusters --no-header)
    pg_ctlcluster "${cluster[0]}" "${cluster[1]}" start
    cd /
    sudo -u postgres createdb bench
    sudo -u postgres psql --no-psqlrc bench --command 'create table t as select generate_series(1, 200000) n; select sum(n), count(distinct n % 97) from t'
    sudo -u postgres psql --no-psqlrc bench --command 'select n, md5(n::text) from t order by md5(n::text) limit 20'
    sudo -u postgres pg_dump bench | sed '/^\\/d' | md5sum
    pg_ctlcluster "${cluster[0]}" "${cluster[1]}" stop --mode fast
}

mariadb_server() {
    mkdir --parents /run/mysqld && chown mysql /run/mysqld
    sudo -u mysql mariadbd --skip-networking &
    for _ in {1..300}; do mariadb-admin ping >/dev/null 2>&1 && break; sleep 0.1; done
    mariadb --execute 'create database d; use d; create table t (n int); insert into t select seq from seq_1_to_50000; select sum(n), count(*) from t'
    mariadb --execute 'select n, md5(n) from d.t order by md5(n) limit 20'
    mariadb-admin shutdown
    wait
}

web_servers() {
    local server
    for server in nginx apache2ctl; do
        if [[ $server == nginx ]]; then nginx; else apache2ctl start; fi
        for _ in {1..300}; do curl --silent --output page http://127.0.0.1/ && break; sleep 0.1; done
        for _ in {1..50}; do curl --silent http://127.0.0.1/ | md5sum; done
        if [[ $server == nginx ]]; then nginx -s quit; else apache2ctl stop; fi
        for _ in {1..300}; do curl --silent http://127.0.0.1/ >/dev/null || break; sleep 0.1; done
    done
}

# Their logs are where the library tells of its trims.
caches() {
    AUTOTRIM_LOG=debug redis-server --port 7000 --save '' --logfile '' >&2 &
    for _ in {1..300}; do redis-cli -p 7000 ping >/dev/null 2>&1 && break; sleep 0.1; done
    redis-cli -p 7000 set key value
    for _ in {1..50}; do redis-cli -p 7000 get key; done
    redis-cli -p 7000 shutdown nosave
    AUTOTRIM_LOG=debug memcached --user nobody --listen 127.0.0.1 --port 7001 &
    for _ in {1..50}; do printf 'set k 0 0 1\r\nv\r\nget k\r\nquit\r\n' | curl --silent --max-time 5 telnet://127.0.0.1:7001 && break; sleep 0.1; done
    kill "$!"
    wait
}

logins() {
    mkdir --parents /run/sshd "$HOME/.ssh"
    ssh-keygen -q -t ed25519 -N '' -f "$HOME/.ssh/id_ed25519"
    cp "$HOME/.ssh/id_ed25519.pub" "$HOME/.ssh/authorized_keys"
    /usr/sbin/sshd -o ListenAddress=127.0.0.1
    export options='-o BatchMode=yes -o StrictHostKeyChecking=no -o LogLevel=ERROR'
    # shellcheck disable=SC2086 # options are several words
    for _ in {1..5}; do ssh $options 127.0.0.1 'echo logged in; exit 3' || echo "exit $?"; done
    # shellcheck disable=SC2086
    head -c 3000000 /dev/zero | ssh $options 127.0.0.1 md5sum
    # shellcheck disable=SC2086
    scp $options -q 127.0.0.1:/etc/debian_version copied && cat copied
    pkill --pidfile /run/sshd.pid
}

system_tools() {
    systemd-tmpfiles --create --dry-run >/dev/null 2>&1 || systemd-tmpfiles --create
    systemd-sysusers --inline 'u tester - "A tester"'
    getent passwd tester
    systemd-analyze calendar daily --iterations 1 --base-time '2026-01-01 00:00:00 UTC' 2>/dev/null | head -n 2 || true
    systemd-analyze verify ssh.service nginx.service 2>&1 | sort || true
    logrotate --debug /etc/logrotate.conf 2>&1 | grep -c 'rotating pattern'
    sudo -u nobody id
    su --shell /bin/sh --command 'id; exit 4' nobody || echo "exit $?"
    timeout 1 sleep 5 || echo "exit $?"
    host -W 1 localhost 127.0.0.1 >/dev/null 2>&1 || echo "no name server"
    dbus-run-session -- dbus-send --session --print-reply --dest=org.freedesktop.DBus / org.freedesktop.DBus.ListNames
}

# A program that leaks, forks and answers itself, under the tools that look into programs.
program() {
    cat >program.c <<'END'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
static char *leak(int size) { return memset(malloc(size), 'l', size); }
static void inner(int pair) { char text[8] = ""; if (read(pair, text, 7) == 5) printf("%s, %c\n", text, leak(1000)[999]); }
int main(void)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0 || write(pair[0], "hello", 5) != 5)
        return 1;
    inner(pair[1]);
    free(leak(50000));
    fflush(stdout);
    if (fork() == 0)
        _exit(leak(10)[0] == 'l' ? 7 : 8);
    int status;
    wait(&status);
    printf("child %d\n", WEXITSTATUS(status));
    return 5;
}
END
    gcc -g -O0 -Wall -o program program.c
    ./program || echo "exit $?"
}

debugger() {
    gdb --batch --nx -ex 'set debuginfod enabled off' -ex 'break inner' -ex run -ex backtrace -ex 'print pair' -ex finish -ex continue ./program
    gdb --batch --nx -ex 'set debuginfod enabled off' -ex 'catch fork' -ex run -ex continue ./program
}

tracer() {
    strace -f -e trace=execve,socketpair,clone,fork,exit_group,wait4 -o trace ./program || echo "exit $?"
    sed -E 's/^[0-9]+ +//; s/0x[0-9a-f]+/ADDRESS/g; s/(child_tidptr|SIGCHLD|si_pid|si_utime|si_stime|= )[^,)}]*/\1/g; s/wait4\([^,]*/wait4(/' trace \
        | sort
    strace -c -o counts git -C source status --short | sed -n 1,5p
    test -s counts
}

memory_checker() {
    valgrind --leak-check=full --show-leak-kinds=all --error-exitcode=9 ./program || echo "exit $?"
    valgrind --tool=helgrind ./program || echo "exit $?"
    valgrind --quiet git -C cloned log --oneline | sed -n 1,3p
}

# As another user, in a sandbox of its own where the system allows one, as root can't.
browser() {
    local arguments=(--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update
        --disable-sync --user-data-dir=/tmp/profile)
    echo '<title>Page</title><h1>Printed</h1><p id=p></p><script>p.textContent = Array.from({length: 500}, (_, i) => i * i).join(" ")</script>' >page.html
    chromium "${arguments[@]}" --print-to-pdf=/compare/page.pdf file:///compare/page.html 2>/dev/null
    pdftotext -layout page.pdf - | sed '/file:\/\/\|[0-9]:[0-9][0-9]/d'
    pdfinfo page.pdf | grep -E '^(Title|Pages|Page size)'
    chromium "${arguments[@]}" --dump-dom file:///compare/page.html 2>/dev/null
}

removed() { apt-get purge --yes nginx memcached apache2 redis-server; }

step install installed "${packages[@]}"
differs install 's/(tmp\.ci\/[a-z-]+\.config)\.[A-Za-z0-9]+/\1/; s/SHA256:[^ ]*/KEY/; s/^\(Reading database \.\.\. .*\r//; s/-----.*//; s/(pid |PID: )[0-9]+/\1N/'
step states states
step files files
step build build
unordered build
differs build 's/^(checking whether build environment is sane|config.status).*/&/; s/^(# )?(Total|PASS|FAIL).*in [0-9.]+s.*/\2/'
step repository repository
differs repository 's/, done\.$//; s/.*(Enumerating|Counting|Compressing|Receiving|Writing|Resolving|Total|Delta).*//; s/\r.*//'
step manuals manuals
step java java_program
step languages scripts_of_languages
step postgresql postgresql_server
step mariadb mariadb_server
differs mariadb '/^[0-9]{4}-[0-9]{2}-[0-9]{2} |Version|socket|mariadbd/d'
step web web_servers
differs web 's/.*AH00558.*/AH00558/; s/^[0-9/]+ [0-9:]+ (\[notice\]) [0-9#]+/\1/'
step caches caches
differs caches '/autotrim: /!{/^[0-9]+:/d}'
step ssh logins
step system system_tools
differs system 's/^(dbus-daemon)\[[0-9]+\]: .*pid=[0-9]+( pidfd=[0-9]+)?\]/\1/; s/time=[0-9.]+/time/'
step program program
step gdb debugger
differs gdb 's/0x[0-9a-f]+/ADDRESS/g; s/(process|LWP|Thread) [0-9xa-f]+/\1 N/g'
step strace tracer
step valgrind memory_checker
differs valgrind 's/==[0-9]+==/==N==/; s/0x[0-9A-Fa-f]+/ADDRESS/g'
step chromium browser
step purge removed
differs purge 's/^\(Reading database \.\.\. .*\r//'
