// A server whose memory grows in different ways, in one thread and malloc's memory. Every path answers a few bytes.
//
//   growing … PORT
//
//   /leak/BYTES    keeps so much for good
//   /flat          nothing that stays
//   /threads/N     starts threads, each with an arena of malloc's, which wait from then on
//   /fragment      frees three of each four of 200,000 small blocks, and keeps the fourth until the next such request
//
// Prints its port.
#include <arpa/inet.h>
#include <poll.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr size_t BLOCKS = 200'000;
constexpr size_t BLOCK = 700;

std::vector<std::unique_ptr<char[]>> leaked;
std::vector<std::unique_ptr<char[]>> survivors;

std::unique_ptr<char[]> filled(size_t bytes)
{
    auto block = std::make_unique<char[]>(bytes);
    std::memset(block.get(), 1, bytes);
    return block;
}

// Each in turn: one that has ended would leave its arena to the next.
void start_threads(size_t number)
{
    for (size_t i = 0; i < number; ++i) {
        int ends[2];
        char byte = 0;
        if (pipe(ends) != 0) {
            std::abort();
        }
        std::thread([output = ends[1]] {
            auto block = filled(BLOCK);
            if (write(output, block.get(), 1) != 1) {
                std::abort();
            }
            pause();
        }).detach();
        if (read(ends[0], &byte, 1) != 1) {
            std::abort();
        }
    }
}

void fragment()
{
    if (!survivors.empty()) {
        return;
    }
    std::vector<std::unique_ptr<char[]>> blocks;
    for (size_t number = 0; number < BLOCKS; ++number) {
        blocks.push_back(filled(BLOCK));
    }
    for (size_t number = 0; number < BLOCKS; number += 4) {
        survivors.push_back(std::move(blocks[number]));
    }
}

void work(const std::string &request)
{
    const std::string leak = "GET /leak/", threads = "GET /threads/";
    if (request.compare(0, leak.size(), leak) == 0) {
        leaked.push_back(filled(std::stoul(request.substr(leak.size()))));
    } else if (request.compare(0, threads.size(), threads) == 0) {
        start_threads(std::stoul(request.substr(threads.size())));
    } else if (request.compare(0, 13, "GET /fragment") == 0) {
        fragment();
    }
}

bool answer(int connection)
{
    char buffer[4096];
    const ssize_t length = recv(connection, buffer, sizeof buffer, 0);
    if (length <= 0) {
        close(connection);
        return false;
    }
    work(std::string(buffer, static_cast<size_t>(length)));
    const std::string text = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n";
    return send(connection, text.data(), text.size(), MSG_NOSIGNAL) > 0;
}

}  // namespace

int main(int count, char **arguments)
{
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<uint16_t>(std::atoi(arguments[count - 1])));
    socklen_t length = sizeof address;
    const int listener = socket(AF_INET, SOCK_STREAM, 0);
    const auto place = reinterpret_cast<sockaddr *>(&address);
    if (bind(listener, place, length) != 0 || listen(listener, 64) != 0 || getsockname(listener, place, &length) != 0) {
        return 1;
    }
    std::cout << ntohs(address.sin_port) << std::endl;
    std::vector<pollfd> watched{{listener, POLLIN, 0}};
    while (poll(watched.data(), watched.size(), -1) >= 0) {
        const size_t count = watched.size();
        for (size_t place_in_list = 1; place_in_list < count; ++place_in_list) {
            auto &entry = watched[place_in_list];
            if (entry.revents != 0 && !answer(entry.fd)) {
                entry.fd = -1;
            }
        }
        if (watched[0].revents != 0) {
            watched.push_back({accept(listener, nullptr, nullptr), POLLIN, 0});
        }
    }
}
