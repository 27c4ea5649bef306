// The workloads of ZActor's benchmarks in the C++ Actor Framework 0.17, for comparison in the same
// run.
//
//     caf WORKERS ID COUNT MESSAGES
//
// Prints one JSON object: the value in the unit of the id.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <string>
#include <vector>

#include <unistd.h>

#include <caf/all.hpp>

using namespace caf;

namespace {

constexpr int batch = 100;
using go_atom = atom_constant<atom("go")>;
using msg_atom = atom_constant<atom("msg")>;

std::promise<void> finished;
std::atomic<uint64_t> tokens_left;

int64_t now_ns()
{
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
               std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

double wait_end(int64_t began)
{
    finished.get_future().wait();
    return static_cast<double>(now_ns() - began);
}

// ---- pingpong

struct player_state {
    actor peer;
};

behavior player(stateful_actor<player_state> *self)
{
    return {
        [=](go_atom, const actor &peer, uint64_t n) {
            self->state.peer = peer;
            if (n > 0) {
                self->send(peer, msg_atom::value, n);
            }
        },
        [=](msg_atom, uint64_t n) {
            if (n == 0) {
                finished.set_value();
            } else {
                self->send(self->state.peer, msg_atom::value, n - 1);
            }
        },
    };
}

double pingpong(actor_system &system, uint64_t messages)
{
    actor a = system.spawn(player);
    actor b = system.spawn(player);
    anon_send(b, go_atom::value, a, uint64_t{0});
    int64_t began = now_ns();
    anon_send(a, go_atom::value, b, messages);
    return wait_end(began) / static_cast<double>(messages);
}

// ---- fan-in

struct counting_state {
    uint64_t left = 0;
};

behavior producer(stateful_actor<counting_state> *self, const actor &sink, uint64_t messages)
{
    self->state.left = messages;
    return {
        [=](go_atom) {
            uint64_t &left = self->state.left;
            for (int i = 0; i < batch && left > 0; i++, left--) {
                self->send(sink, msg_atom::value, left);
            }
            if (left > 0) {
                self->send(self, go_atom::value);
            }
        },
    };
}

behavior sink(stateful_actor<counting_state> *self, uint64_t messages)
{
    self->state.left = messages;
    return {
        [=](msg_atom, uint64_t) {
            if (--self->state.left == 0) {
                finished.set_value();
            }
        },
    };
}

double fanin(actor_system &system, uint64_t producers, uint64_t messages)
{
    actor to = system.spawn(sink, messages / producers * producers);
    int64_t began = now_ns();
    for (uint64_t i = 0; i < producers; i++) {
        anon_send(system.spawn(producer, to, messages / producers), go_atom::value);
    }
    return static_cast<double>(messages) / wait_end(began) * 1e3;
}

// ---- ring

behavior ring_link(stateful_actor<player_state> *self)
{
    return {
        [=](go_atom, const actor &next) { self->state.peer = next; },
        [=](msg_atom, uint64_t n) {
            if (n > 0) {
                self->send(self->state.peer, msg_atom::value, n - 1);
            } else if (tokens_left.fetch_sub(1) == 1) {
                finished.set_value();
            }
        },
    };
}

double ring(actor_system &system, size_t size, uint64_t tokens, uint64_t messages)
{
    std::vector<actor> links;
    for (size_t i = 0; i < size; i++) {
        links.push_back(system.spawn(ring_link));
    }
    for (size_t i = 0; i < size; i++) {
        anon_send(links[i], go_atom::value, links[(i + 1) % size]);
    }
    tokens_left = tokens;
    int64_t began = now_ns();
    for (uint64_t i = 0; i < tokens; i++) {
        anon_send(links[i * (size / tokens) % size], msg_atom::value, messages / tokens);
    }
    return wait_end(began);
}

// ---- spawn

behavior child(event_based_actor *self)
{
    return {
        [=](msg_atom, const actor &parent, uint64_t n) {
            self->send(parent, msg_atom::value, n);
            self->quit();
        },
    };
}

struct parent_state {
    uint64_t left = 0;
    uint64_t replies = 0;
};

behavior parent(stateful_actor<parent_state> *self, uint64_t actors)
{
    self->state.left = self->state.replies = actors;
    return {
        [=](go_atom) {
            uint64_t &left = self->state.left;
            for (int i = 0; i < batch && left > 0; i++, left--) {
                self->send(self->spawn(child), msg_atom::value, actor{self}, left);
            }
            if (left > 0) {
                self->send(self, go_atom::value);
            }
        },
        [=](msg_atom, uint64_t) {
            if (--self->state.replies == 0) {
                finished.set_value();
            }
        },
    };
}

double spawning(actor_system &system, uint64_t actors)
{
    actor root = system.spawn(parent, actors);
    int64_t began = now_ns();
    anon_send(root, go_atom::value);
    return static_cast<double>(actors) / wait_end(began) * 1e3;
}

// ---- actor-bytes

struct idle_state {
    uint64_t data[4] = {};
};

behavior idle(stateful_actor<idle_state> *self)
{
    return {
        [=](msg_atom, uint64_t n) { self->state.data[0] = n; },
    };
}

double resident_bytes()
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == nullptr || fscanf(file, "%*u %lu", &pages) != 1) {
        fprintf(stderr, "caf: no /proc/self/statm\n");
        exit(1);
    }
    fclose(file);
    return static_cast<double>(pages) * static_cast<double>(sysconf(_SC_PAGESIZE));
}

double actor_bytes(actor_system &system, uint64_t actors)
{
    std::vector<actor> all; // the references keep them alive; their own bytes are paid before
    all.resize(actors);
    double before = resident_bytes();
    for (uint64_t i = 0; i < actors; i++) {
        all[i] = system.spawn(idle);
    }
    double bytes = (resident_bytes() - before) / static_cast<double>(actors);
    printf("{\"value\": %.4f}\n", bytes);
    fflush(stdout);
    std::_Exit(0);
}

double measure(actor_system &system, const std::string &id, uint64_t count, uint64_t messages)
{
    if (id == "pingpong") {
        return pingpong(system, messages);
    }
    if (id.rfind("fanin-", 0) == 0) {
        return fanin(system, count, messages);
    }
    if (id == "ring") {
        return static_cast<double>(messages) / ring(system, 1000, count, messages) * 1e3;
    }
    if (id == "threadring") {
        return ring(system, 503, 1, messages) / static_cast<double>(messages);
    }
    if (id == "spawn") {
        return spawning(system, messages);
    }
    if (id == "actor-bytes") {
        return actor_bytes(system, messages);
    }
    fprintf(stderr, "caf: what is %s?\n", id.c_str());
    exit(2);
}

} // namespace

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: caf WORKERS ID COUNT MESSAGES\n");
        return 2;
    }
    actor_system_config config;
    config.set("scheduler.max-threads", static_cast<size_t>(std::stoul(argv[1])));
    actor_system system{config};
    double value = measure(system, argv[2], std::stoull(argv[3]), std::stoull(argv[4]));
    printf("{\"value\": %.4f}\n", value);
    fflush(stdout);
    std::_Exit(0); // actors that know each other in a circle would never end
}
