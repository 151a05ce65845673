// Rows as JSON from a server whose 8 threads allocate in parallel, with no interpreter lock: cpp-httplib and nlohmann's JSON.
#include <cstdlib>
#include <httplib.h>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

struct Article {
    std::string author;
    int views;
    std::string body;
};

static std::vector<Article> articles(std::size_t count)
{
    std::mt19937 random(1);
    std::vector<Article> result;
    for (std::size_t i = 0; i < count; ++i) {
        std::string body(1000 + random() % 7000, ' ');
        for (auto &letter : body)
            letter = static_cast<char>('a' + random() % 26);
        result.push_back({"author" + std::to_string(random() % 2000), static_cast<int>(random() % 100000), body});
    }
    return result;
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    const auto all = articles(5000);
    httplib::Server server;
    server.new_task_queue = [] { return new httplib::ThreadPool(8); };
    server.set_keep_alive_max_count(1000000);
    server.set_tcp_nodelay(true);
    server.Get("/status", [](const httplib::Request &, httplib::Response &response) {
        response.set_content(nlohmann::json{{"status", "ok"}}.dump(), "application/json");
    });
    server.Get("/rows", [&all](const httplib::Request &request, httplib::Response &response) {
        const auto first = std::stoul(request.get_param_value("first")) - 1;
        const auto count = std::stoul(request.get_param_value("count"));
        auto rows = nlohmann::json::array();
        for (auto i = first; i < first + count && i < all.size(); ++i)
            rows.push_back({{"id", i + 1}, {"author", all[i].author}, {"views", all[i].views}, {"body", all[i].body}});
        response.set_content(rows.dump(), "application/json");
    });
    return server.listen("127.0.0.1", std::atoi(argv[1])) ? 0 : 1;
}
