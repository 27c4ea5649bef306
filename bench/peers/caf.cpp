// The workloads of ZActor's benchmarks in the C++ Actor Framework 0.17, for comparison in the same
// run.
//
//     caf WORKERS ID COUNT MESSAGES
//
// Prints one JSON object: the value in the unit of the id.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <mutex>
#include <string>
#include <vector>

#include <unistd.h>

#include <caf/all.hpp>

using namespace caf;

namespace
{

constexpr int batch = 100;
constexpr uint64_t warm = 10; // the warm-up is a tenth of the size, as ours
constexpr uint64_t warm_min = 10000;
using go_atom = atom_constant<atom("go")>;
using msg_atom = atom_constant<atom("msg")>;
using ping_atom = atom_constant<atom("ping")>;
using pong_atom = atom_constant<atom("pong")>;
using meet_atom = atom_constant<atom("meet")>;
using over_atom = atom_constant<atom("over")>;
using move_atom = atom_constant<atom("move")>;
using credit_atom = atom_constant<atom("credit")>;
using credited_atom = atom_constant<atom("credited")>;
using balance_atom = atom_constant<atom("balance")>;
using board_atom = atom_constant<atom("board")>;
using done_atom = atom_constant<atom("done")>;

/** Opened by the actor that sees the last message. */
class gate
{
  public:
    void open()
    {
        std::lock_guard<std::mutex> hold(mutex_);
        open_ = true;
        opened_.notify_one();
    }

    void pass()
    {
        std::unique_lock<std::mutex> hold(mutex_);
        opened_.wait(hold, [this] { return open_; });
        open_ = false; // for the next run
    }

  private:
    std::mutex mutex_;
    std::condition_variable opened_;
    bool open_ = false;
};

gate finished;
std::atomic<uint64_t> tokens_left;

int64_t now_ns()
{
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
               std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

// What the outcome must be, or the figures mean nothing.
void check(bool right, const char *what)
{
    if (!right) {
        fprintf(stderr, "caf: wrong outcome: %s\n", what);
        std::_Exit(1);
    }
}

uint32_t next_random(uint64_t &state, uint32_t bound)
{
    state ^= state << 13; // xorshift64, as ours
    state ^= state >> 7;
    state ^= state << 17;
    return static_cast<uint32_t>((state >> 32) * bound >> 32);
}

double wait_end(int64_t began)
{
    finished.pass();
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
                finished.open();
            } else {
                self->send(self->state.peer, msg_atom::value, n - 1);
            }
        },
    };
}

double play(actor a, actor b, uint64_t messages)
{
    anon_send(b, go_atom::value, a, uint64_t{ 0 });
    int64_t began = now_ns();
    anon_send(a, go_atom::value, b, messages);
    return wait_end(began) / static_cast<double>(messages);
}

double pingpong(actor_system &system, uint64_t messages)
{
    return play(system.spawn(player), system.spawn(player), messages);
}

// Actors cannot be bound to workers: each gets a thread of its own.
double pingpong_cross(actor_system &system, uint64_t messages)
{
    return play(system.spawn<detached>(player), system.spawn<detached>(player), messages);
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
                finished.open();
            }
        },
    };
}

behavior packer(stateful_actor<counting_state> *self, const actor &sink, uint64_t messages)
{
    self->state.left = messages;
    return {
        [=](go_atom) {
            uint64_t &left = self->state.left;
            for (int i = 0; i < batch && left > 0; i++, left--) {
                self->send(sink, msg_atom::value, left, std::vector<char>(64, 'w'));
            }
            if (left > 0) {
                self->send(self, go_atom::value);
            }
        },
    };
}

behavior payload_sink(stateful_actor<counting_state> *self, uint64_t messages)
{
    self->state.left = messages;
    return {
        [=](msg_atom, uint64_t, const std::vector<char> &payload) {
            check(payload.size() == 64 && payload[0] == 'w', "the payload arrives");
            if (--self->state.left == 0) {
                finished.open();
            }
        },
    };
}

template <class Producer, class Sink>
double fanin(actor_system &system, Producer from, Sink into, uint64_t producers, uint64_t messages)
{
    actor to = system.spawn(into, messages / producers * producers);
    int64_t began = now_ns();
    for (uint64_t i = 0; i < producers; i++) {
        anon_send(system.spawn(from, to, messages / producers), go_atom::value);
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
                finished.open();
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
                self->send(self->spawn(child), msg_atom::value, actor{ self }, left);
            }
            if (left > 0) {
                self->send(self, go_atom::value);
            }
        },
        [=](msg_atom, uint64_t) {
            if (--self->state.replies == 0) {
                finished.open();
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

// ---- skynet

struct sky_state {
    uint64_t sum = 0;
    int left = 10;
};

behavior sky(stateful_actor<sky_state> *self, const actor &parent, uint64_t first, uint64_t leaves)
{
    if (leaves == 1) {
        self->send(parent, msg_atom::value, first);
        self->quit();
        return {};
    }
    for (uint64_t i = 0; i < 10; i++) {
        self->spawn(sky, actor{ self }, first + i * (leaves / 10), leaves / 10);
    }
    return {
        [=](msg_atom, uint64_t sum) {
            self->state.sum += sum;
            if (--self->state.left == 0) {
                self->send(parent, msg_atom::value, self->state.sum);
                self->quit();
            }
        },
    };
}

behavior sky_root(event_based_actor *self, uint64_t leaves)
{
    return {
        [=](go_atom) { self->spawn(sky, actor{ self }, uint64_t{ 0 }, leaves); },
        [=](msg_atom, uint64_t sum) {
            check(sum == leaves * (leaves - 1) / 2, "the sum of all leaves");
            finished.open();
        },
    };
}

double skynet(actor_system &system, uint64_t leaves)
{
    actor root = system.spawn(sky_root, leaves);
    int64_t began = now_ns();
    anon_send(root, go_atom::value);
    return wait_end(began) / 1e9;
}

// ---- big

std::vector<actor> everybody;

struct caller_state {
    uint64_t left = 0;
    uint64_t seed = 0;
};

void ping(stateful_actor<caller_state> *self)
{
    uint32_t to = next_random(self->state.seed, static_cast<uint32_t>(everybody.size()));
    self->send(everybody[to], ping_atom::value, actor{ self });
}

behavior caller(stateful_actor<caller_state> *self)
{
    return {
        [=](go_atom, uint64_t left, uint64_t seed) {
            self->state = { left, seed };
            ping(self);
        },
        [=](ping_atom, const actor &from) { self->send(from, pong_atom::value); },
        [=](pong_atom) {
            if (--self->state.left > 0) {
                ping(self);
            } else if (tokens_left.fetch_sub(1) == 1) {
                finished.open();
            }
        },
    };
}

double big(actor_system &system, uint64_t actors, uint64_t messages)
{
    uint64_t each = messages / 2 / actors;
    for (uint64_t i = 0; i < actors; i++) {
        everybody.push_back(system.spawn(caller));
    }
    tokens_left = actors;
    int64_t began = now_ns();
    for (uint64_t i = 0; i < actors; i++) {
        anon_send(everybody[i], go_atom::value, each, UINT64_C(0x9e3779b97f4a7c15) * (i + 1));
    }
    return static_cast<double>(each * 2 * actors) / wait_end(began) * 1e3;
}

// ---- fan-out

behavior listener(event_based_actor *)
{
    return {
        [=](msg_atom, uint64_t left) {
            if (left == 0 && tokens_left.fetch_sub(1) == 1) {
                finished.open();
            }
        },
    };
}

behavior speaker(stateful_actor<counting_state> *self, uint64_t rounds)
{
    self->state.left = rounds;
    return {
        [=](go_atom) {
            self->state.left--;
            for (const actor &to : everybody) {
                self->send(to, msg_atom::value, self->state.left);
            }
            if (self->state.left > 0) {
                self->send(self, go_atom::value);
            }
        },
    };
}

double fan_out(actor_system &system, uint64_t listeners, uint64_t messages)
{
    uint64_t rounds = messages / listeners;
    for (uint64_t i = 0; i < listeners; i++) {
        everybody.push_back(system.spawn(listener));
    }
    tokens_left = listeners;
    int64_t began = now_ns();
    anon_send(system.spawn(speaker, rounds), go_atom::value);
    return static_cast<double>(rounds * listeners) / wait_end(began) * 1e3;
}

// ---- chameneos

struct colour_state {
    uint32_t colour = 0;
};

behavior creature(stateful_actor<colour_state> *self, const actor &mall, uint32_t colour)
{
    self->state.colour = colour;
    return {
        [=](go_atom) { self->send(mall, meet_atom::value, actor{ self }, self->state.colour); },
        [=](meet_atom, uint32_t other) {
            uint32_t mine = self->state.colour;
            self->state.colour = mine == other ? mine : 3 - mine - other;
            self->send(mall, meet_atom::value, actor{ self }, self->state.colour);
        },
        [=](over_atom) { self->quit(); },
    };
}

struct mall_state {
    uint64_t left = 0;
    uint64_t creatures = 0;
    actor waiting;
    uint32_t colour = 0;
};

behavior mall(stateful_actor<mall_state> *self, uint64_t meetings, uint64_t creatures)
{
    self->state.left = meetings;
    self->state.creatures = creatures;
    return {
        [=](meet_atom, const actor &from, uint32_t colour) {
            mall_state &now = self->state;
            if (now.left == 0) {
                self->send(from, over_atom::value);
                if (--now.creatures == 0) {
                    finished.open();
                }
            } else if (!now.waiting) {
                now.waiting = from;
                now.colour = colour;
            } else {
                self->send(now.waiting, meet_atom::value, colour);
                self->send(from, meet_atom::value, now.colour);
                now.waiting = nullptr;
                now.left--;
            }
        },
    };
}

double chameneos(actor_system &system, uint64_t creatures, uint64_t meetings)
{
    actor place = system.spawn(mall, meetings, creatures);
    int64_t began = now_ns();
    for (uint64_t i = 0; i < creatures; i++) {
        anon_send(system.spawn(creature, place, static_cast<uint32_t>(i % 3)), go_atom::value);
    }
    return static_cast<double>(meetings) / wait_end(began) * 1e3;
}

// ---- n-queens: a master deals boards to workers in turn; below three rows a worker searches alone

using board_t = uint64_t; // four bits for each row

bool is_safe(board_t board, uint32_t row, uint32_t column)
{
    for (uint32_t distance = row; distance > 0; distance--, board >>= 4) {
        uint32_t other = board & 15;
        if (other == column || other + distance == column || column + distance == other) {
            return false;
        }
    }
    return true;
}

uint64_t queens_alone(board_t board, uint32_t row, uint32_t size)
{
    uint64_t found = 0;
    if (row == size) {
        return 1;
    }
    for (uint32_t column = 0; column < size; column++) {
        if (is_safe(board, row, column)) {
            found += queens_alone(board | static_cast<board_t>(column) << (4 * row), row + 1, size);
        }
    }
    return found;
}

behavior queens_worker(event_based_actor *self, const actor &master, uint32_t size)
{
    return {
        [=](board_atom, board_t board, uint32_t row) {
            if (row >= 3) {
                self->send(master, done_atom::value, queens_alone(board, row, size));
                return;
            }
            for (uint32_t column = 0; column < size; column++) {
                if (is_safe(board, row, column)) {
                    self->send(master, board_atom::value,
                               board | static_cast<board_t>(column) << (4 * row), row + 1);
                }
            }
            self->send(master, done_atom::value, uint64_t{ 0 });
        },
    };
}

struct master_state {
    std::vector<actor> workers;
    uint64_t turn = 0;
    uint64_t open = 0;
    uint64_t found = 0;
};

behavior queens_master(stateful_actor<master_state> *self, uint64_t workers, uint32_t size)
{
    return {
        [=](go_atom) {
            for (uint64_t i = 0; i < workers; i++) {
                self->state.workers.push_back(self->spawn(queens_worker, actor{ self }, size));
            }
            self->send(self, board_atom::value, board_t{ 0 }, uint32_t{ 0 });
        },
        [=](board_atom, board_t board, uint32_t row) {
            master_state &now = self->state;
            now.open++;
            self->send(now.workers[now.turn++ % workers], board_atom::value, board, row);
        },
        [=](done_atom, uint64_t found) {
            static const uint64_t solutions[] = { 1,  1,  0,   0,   2,    10,   4,
                                                  40, 92, 352, 724, 2680, 14200 };
            self->state.found += found;
            if (--self->state.open == 0) {
                check(self->state.found == solutions[size], "the number of solutions");
                finished.open();
            }
        },
    };
}

double queens(actor_system &system, uint64_t workers, uint64_t size)
{
    actor master = system.spawn(queens_master, workers, static_cast<uint32_t>(size));
    int64_t began = now_ns();
    anon_send(master, go_atom::value);
    return wait_end(began) / 1e6;
}

// ---- bank: a teller orders transfers; the debtor asks the creditor and confirms to the teller

struct transfer_t {
    actor teller;
    actor to;
    int64_t amount;
};

struct account_state {
    int64_t balance = 1000;
    actor teller; // of the open transfer
    std::deque<transfer_t> put_off;
};

void begin_transfer(stateful_actor<account_state> *self, const transfer_t &transfer)
{
    self->state.balance -= transfer.amount;
    self->state.teller = transfer.teller;
    self->send(transfer.to, credit_atom::value, actor{ self }, transfer.amount);
}

behavior account(stateful_actor<account_state> *self)
{
    return {
        [=](move_atom, const actor &teller, const actor &to, int64_t amount) {
            if (self->state.teller) {
                self->state.put_off.push_back({ teller, to, amount });
            } else {
                begin_transfer(self, { teller, to, amount });
            }
        },
        [=](credit_atom, const actor &from, int64_t amount) {
            self->state.balance += amount;
            self->send(from, credited_atom::value);
        },
        [=](credited_atom) {
            account_state &now = self->state;
            self->send(now.teller, done_atom::value);
            now.teller = nullptr;
            if (!now.put_off.empty()) {
                transfer_t next = now.put_off.front();
                now.put_off.pop_front();
                begin_transfer(self, next);
            }
        },
        [=](balance_atom, const actor &from) {
            self->send(from, balance_atom::value, self->state.balance);
        },
    };
}

struct teller_state {
    uint64_t to_send = 0;
    uint64_t open = 0;
    uint64_t seed = 4711;
    uint64_t balances = 0;
    int64_t total = 0;
};

void order(stateful_actor<teller_state> *self)
{
    teller_state &now = self->state;
    auto size = static_cast<uint32_t>(everybody.size());
    uint32_t from = next_random(now.seed, size);
    uint32_t to = (from + 1 + next_random(now.seed, size - 1)) % size;
    now.to_send--;
    self->send(everybody[from], move_atom::value, actor{ self }, everybody[to],
               static_cast<int64_t>(next_random(now.seed, 100)));
}

int64_t bank_end_ns;

behavior teller(stateful_actor<teller_state> *self, uint64_t transfers)
{
    self->state.to_send = self->state.open = transfers;
    return {
        [=](go_atom) {
            for (int i = 0; i < batch && self->state.to_send > 0; i++) {
                order(self);
            }
        },
        [=](done_atom) {
            if (self->state.to_send > 0) {
                order(self);
            }
            if (--self->state.open == 0) {
                bank_end_ns = now_ns();
                for (const actor &each : everybody) {
                    self->send(each, balance_atom::value, actor{ self });
                }
            }
        },
        [=](balance_atom, int64_t balance) {
            self->state.total += balance;
            if (++self->state.balances == everybody.size()) {
                check(self->state.total == static_cast<int64_t>(everybody.size()) * 1000,
                      "no money is made or lost");
                finished.open();
            }
        },
    };
}

double bank(actor_system &system, uint64_t accounts, uint64_t transfers)
{
    for (uint64_t i = 0; i < accounts; i++) {
        everybody.push_back(system.spawn(account));
    }
    actor at = system.spawn(teller, transfers);
    int64_t began = now_ns();
    anon_send(at, go_atom::value);
    wait_end(began);
    return static_cast<double>(transfers) / static_cast<double>(bank_end_ns - began) * 1e3;
}

double measure(actor_system &system, const std::string &id, uint64_t count, uint64_t messages)
{
    if (id == "pingpong") {
        return pingpong(system, messages);
    }
    if (id == "pingpong-cross") {
        return pingpong_cross(system, messages);
    }
    if (id.rfind("fanin-", 0) == 0) {
        return fanin(system, producer, sink, count, messages);
    }
    if (id == "payload") {
        return fanin(system, packer, payload_sink, count, messages);
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
    if (id == "skynet") {
        return skynet(system, messages);
    }
    if (id == "big") {
        return big(system, count, messages);
    }
    if (id == "fan-out") {
        return fan_out(system, count, messages);
    }
    if (id == "chameneos") {
        return chameneos(system, count, messages);
    }
    if (id == "n-queens") {
        return queens(system, count, messages);
    }
    if (id == "bank") {
        return bank(system, count, messages);
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
    actor_system system{ config };
    std::string id = argv[2];
    uint64_t count = std::stoull(argv[3]);
    uint64_t messages = std::stoull(argv[4]);
    if (id != "actor-bytes" && messages >= warm_min) {
        measure(system, id, count, messages / warm); // not counted
        everybody.clear();
    }
    double value = measure(system, id, count, messages);
    printf("{\"value\": %.4f}\n", value);
    fflush(stdout);
    std::_Exit(0); // actors that know each other in a circle would never end
}
