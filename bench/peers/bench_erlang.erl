%% The workloads of ZActor's benchmarks in Erlang, for comparison in the same run.
%%
%%     erl -noshell +S 1:1 +P 2000000 -pa DIR -run bench_erlang main ID COUNT MESSAGES
%%     erl -noshell -sname far@localhost DISTRIBUTION... -pa DIR -run bench_erlang far
%%     erl -noshell -sname near@localhost DISTRIBUTION... -pa DIR -run bench_erlang near ID COUNT MESSAGES
%%
%% Prints one JSON object: the value in the unit of the id, p99 where it is a latency.
-module(bench_erlang).
-export([main/1, near/1, far/0]).
-export([player/1, producer/2, packer/2, sink/2, payload_sink/2, link/2, child/0, idle/4, sky/3,
         caller/1, listener/1, mall/4, creature/2, queens_master/3, queens_worker/2, account/1,
         teller/3, far_sink/3, far_echo/0]).

-define(BATCH, 100).
-define(WARM, 10).
-define(WARM_MIN, 10000).
-define(WINDOW, 16384).
-define(PAYLOAD_BYTES, 64).

main([Id, Count, Messages]) ->
    warm_up(Id, list_to_integer(Count), list_to_integer(Messages)),
    Value = measure(Id, list_to_integer(Count), list_to_integer(Messages)),
    io:format("{\"value\": ~.4f}~n", [float(Value)]),
    halt(0, [{flush, true}]).

%% A tenth of the size, as ours; not counted.
warm_up("actor-bytes", _, _) -> ok;
warm_up(_, _, N) when N < ?WARM_MIN -> ok;
warm_up(Id, Count, N) -> measure(Id, Count, N div ?WARM).

now_ns() -> erlang:monotonic_time(nanosecond).

wait_end(Began) ->
    receive finished -> now_ns() - Began end.

measure("pingpong", _, N) -> pingpong(N);
measure("pingpong-cross", _, N) -> pingpong_cross(N);
measure("fanin-" ++ _, Producers, N) -> fanin(producer, sink, Producers, N);
measure("payload", Producers, N) -> fanin(packer, payload_sink, Producers, N);
measure("ring", Tokens, N) -> N / ring(1000, Tokens, N) * 1.0e3;
measure("threadring", 1, N) -> ring(503, 1, N) / N;
measure("spawn", _, N) -> spawning(N);
measure("actor-bytes", _, N) -> actor_bytes(N);
measure("skynet", _, N) -> skynet(N);
measure("big", Actors, N) -> big(Actors, N);
measure("fan-out", Listeners, N) -> fan_out(Listeners, N);
measure("chameneos", Creatures, N) -> chameneos(Creatures, N);
measure("n-queens", Workers, N) -> queens(Workers, N);
measure("bank", Accounts, N) -> bank(Accounts, N).

%% ---- pingpong

player(Main) ->
    receive {go, Peer, N} ->
        case N of
            0 -> ok;
            _ -> Peer ! {msg, N}
        end,
        play(Main, Peer)
    end.

play(Main, Peer) ->
    receive
        {msg, 0} -> Main ! finished;
        {msg, N} -> Peer ! {msg, N - 1}, play(Main, Peer)
    end.

pingpong(N) ->
    pingpong(N, [], []).

%% Two schedulers, one process bound to each: the flag is not documented, and nothing else pins.
pingpong_cross(N) ->
    pingpong(N, [{scheduler, 1}], [{scheduler, 2}]).

pingpong(N, OptionsA, OptionsB) ->
    A = spawn_opt(?MODULE, player, [self()], OptionsA),
    B = spawn_opt(?MODULE, player, [self()], OptionsB),
    B ! {go, A, 0},
    Began = now_ns(),
    A ! {go, B, N},
    wait_end(Began) / N.

%% ---- fan-in

producer(Sink, Left) -> produce(Sink, Left, ?BATCH).

produce(_, 0, _) -> ok;
produce(Sink, Left, 0) ->
    self() ! continue,
    receive continue -> produce(Sink, Left, ?BATCH) end;
produce(Sink, Left, Batch) ->
    Sink ! {msg, Left},
    produce(Sink, Left - 1, Batch - 1).

sink(Main, 0) -> Main ! finished;
sink(Main, Left) ->
    receive {msg, _} -> sink(Main, Left - 1) end.

%% As producer, each message with a payload made for it.
packer(Sink, Left) -> pack(Sink, Left, ?BATCH).

pack(_, 0, _) -> ok;
pack(Sink, Left, 0) ->
    self() ! continue,
    receive continue -> pack(Sink, Left, ?BATCH) end;
pack(Sink, Left, Batch) ->
    Sink ! {msg, Left, payload()},
    pack(Sink, Left - 1, Batch - 1).

payload_sink(Main, 0) -> Main ! finished;
payload_sink(Main, Left) ->
    receive {msg, _, Payload} when byte_size(Payload) =:= ?PAYLOAD_BYTES ->
        payload_sink(Main, Left - 1)
    end.

fanin(Producer, Sink, Producers, N) ->
    Each = N div Producers,
    To = spawn(?MODULE, Sink, [self(), Each * Producers]),
    Began = now_ns(),
    [spawn(?MODULE, Producer, [To, Each]) || _ <- lists:seq(1, Producers)],
    N / wait_end(Began) * 1.0e3.

%% ---- ring

link(Main, undefined) ->
    receive {go, Next} -> link(Main, Next) end;
link(Main, Next) ->
    receive
        {msg, 0} -> Main ! token, link(Main, Next);
        {msg, N} -> Next ! {msg, N - 1}, link(Main, Next)
    end.

ring(Size, Tokens, N) ->
    Links = [spawn(?MODULE, link, [self(), undefined]) || _ <- lists:seq(1, Size)],
    Nexts = tl(Links) ++ [hd(Links)],
    lists:foreach(fun({Link, Next}) -> Link ! {go, Next} end, lists:zip(Links, Nexts)),
    Tuple = list_to_tuple(Links),
    Began = now_ns(),
    [element(I * (Size div Tokens) rem Size + 1, Tuple) ! {msg, N div Tokens}
     || I <- lists:seq(0, Tokens - 1)],
    [receive token -> ok end || _ <- lists:seq(1, Tokens)],
    now_ns() - Began.

%% ---- spawn

child() ->
    receive {msg, From, _} -> From ! reply end.

breed(0, 0) -> ok;
breed(0, Replies) ->
    receive reply -> breed(0, Replies - 1) end;
breed(Left, Replies) ->
    Batch = min(Left, ?BATCH),
    [spawn(?MODULE, child, []) ! {msg, self(), I} || I <- lists:seq(1, Batch)],
    breed(Left - Batch, drain(Replies)).

drain(Replies) ->
    receive reply -> drain(Replies - 1) after 0 -> Replies end.

spawning(N) ->
    Main = self(),
    Began = now_ns(),
    spawn(fun() -> breed(N, N), Main ! finished end),
    N / wait_end(Began) * 1.0e3.

%% ---- actor-bytes

idle(A, B, C, D) ->
    receive stop -> {A, B, C, D} end. % 32 bytes of state

resident_bytes() ->
    {ok, Statm} = file:read_file("/proc/self/statm"),
    [_, Pages | _] = string:lexemes(Statm, " "),
    binary_to_integer(Pages) * 4096.

actor_bytes(N) ->
    Before = resident_bytes(),
    breed_idle(N),
    (resident_bytes() - Before) / N.

breed_idle(0) -> ok;
breed_idle(N) ->
    spawn(?MODULE, idle, [N, N, N, N]),
    breed_idle(N - 1).

%% ---- skynet

sky(Parent, First, 1) -> Parent ! {sum, First};
sky(Parent, First, Leaves) ->
    Each = Leaves div 10,
    Self = self(),
    [spawn(?MODULE, sky, [Self, First + I * Each, Each]) || I <- lists:seq(0, 9)],
    Parent ! {sum, sums(10, 0)}.

sums(0, Sum) -> Sum;
sums(Left, Sum) ->
    receive {sum, N} -> sums(Left - 1, Sum + N) end.

skynet(N) ->
    Sum = N * (N - 1) div 2,
    Began = now_ns(),
    spawn(?MODULE, sky, [self(), 0, N]),
    receive {sum, Sum} -> (now_ns() - Began) / 1.0e9 end.

%% ---- big

caller(Main) ->
    receive {go, All, Left, Seed} -> ping(All, Seed, Left, Main) end.

ping(All, Seed, Left, Main) ->
    Next = (Seed * 1103515245 + 12345) band 16#7fffffff, % cheap beside what it is to choose for
    element((Next bsr 8) rem tuple_size(All) + 1, All) ! {ping, self()},
    pong(All, Next, Left, Main).

pong(All, Seed, Left, Main) ->
    receive
        {ping, From} -> From ! pong, pong(All, Seed, Left, Main);
        pong when Left > 1 -> ping(All, Seed, Left - 1, Main);
        pong -> Main ! finished, answer()
    end.

answer() ->
    receive {ping, From} -> From ! pong, answer() end.

big(Actors, N) ->
    Each = N div 2 div Actors,
    All = list_to_tuple([spawn(?MODULE, caller, [self()]) || _ <- lists:seq(1, Actors)]),
    Began = now_ns(),
    [element(I, All) ! {go, All, Each, I * 7919} || I <- lists:seq(1, Actors)],
    [receive finished -> ok end || _ <- lists:seq(1, Actors)],
    Each * 2 * Actors / (now_ns() - Began) * 1.0e3.

%% ---- fan-out

listener(Main) ->
    receive {news, Last} ->
        case Last of
            0 -> Main ! heard;
            _ -> ok
        end,
        listener(Main)
    end.

fan_out(Listeners, N) ->
    Main = self(),
    Rounds = N div Listeners,
    All = [spawn(?MODULE, listener, [Main]) || _ <- lists:seq(1, Listeners)],
    Began = now_ns(),
    spawn(fun() -> broadcast(All, Rounds) end),
    [receive heard -> ok end || _ <- lists:seq(1, Listeners)],
    Rounds * Listeners / (now_ns() - Began) * 1.0e3.

broadcast(_, 0) -> ok;
broadcast(All, Rounds) ->
    [Listener ! {news, Rounds - 1} || Listener <- All],
    broadcast(All, Rounds - 1).

%% ---- chameneos

creature(Mall, Colour) ->
    Mall ! {meet, self(), Colour},
    receive
        {met, Other} -> creature(Mall, complement(Colour, Other));
        over -> ok
    end.

complement(Same, Same) -> Same;
complement(A, B) -> 3 - A - B.

mall(Main, 0, _, 0) -> Main ! finished;
mall(Main, 0, Waiting, Creatures) ->
    receive {meet, Creature, _} -> Creature ! over, mall(Main, 0, Waiting, Creatures - 1) end;
mall(Main, Left, none, Creatures) ->
    receive {meet, Creature, Colour} -> mall(Main, Left, {Creature, Colour}, Creatures) end;
mall(Main, Left, {First, FirstColour}, Creatures) ->
    receive {meet, Creature, Colour} ->
        First ! {met, Colour},
        Creature ! {met, FirstColour},
        mall(Main, Left - 1, none, Creatures)
    end.

chameneos(Creatures, N) ->
    Mall = spawn(?MODULE, mall, [self(), N, none, Creatures]),
    Began = now_ns(),
    [spawn(?MODULE, creature, [Mall, I rem 3]) || I <- lists:seq(1, Creatures)],
    N / wait_end(Began) * 1.0e3.

%% ---- n-queens: a master deals boards to workers in turn; below three rows a worker searches alone

queens_worker(Master, Size) ->
    receive {board, Board, Row} ->
        queens_work(Master, Size, Board, Row),
        queens_worker(Master, Size)
    end.

queens_work(Master, Size, Board, Row) when Row < 3 ->
    [Master ! {board, [Column | Board], Row + 1}
     || Column <- lists:seq(0, Size - 1), is_safe(Column, Board, 1)],
    Master ! {done, 0};
queens_work(Master, Size, Board, Row) ->
    Master ! {done, queens_alone(Size, Board, Row)}.

queens_alone(Size, _, Size) -> 1;
queens_alone(Size, Board, Row) ->
    queens_column(Size, Board, Row, 0, 0).

queens_column(Size, _, _, Size, Found) -> Found;
queens_column(Size, Board, Row, Column, Found) ->
    case is_safe(Column, Board, 1) of
        true ->
            More = queens_alone(Size, [Column | Board], Row + 1),
            queens_column(Size, Board, Row, Column + 1, Found + More);
        false -> queens_column(Size, Board, Row, Column + 1, Found)
    end.

is_safe(_, [], _) -> true;
is_safe(Column, [Other | Board], Distance) ->
    Column =/= Other andalso abs(Column - Other) =/= Distance
        andalso is_safe(Column, Board, Distance + 1).

queens_master(Main, Size, Count) ->
    Self = self(),
    Workers = list_to_tuple([spawn(?MODULE, queens_worker, [Self, Size])
                             || _ <- lists:seq(1, Count)]),
    self() ! {board, [], 0},
    queens_deal(Main, Workers, 0, 1, 0).

%% Open: boards that are on their way, to us or to a worker, or being worked on.
queens_deal(Main, _, _, 0, Found) -> Main ! {found, Found};
queens_deal(Main, Workers, Turn, Open, Found) ->
    receive
        {board, Board, Row} ->
            element(Turn rem tuple_size(Workers) + 1, Workers) ! {board, Board, Row},
            % The first board is counted already.
            More = case Row of 0 -> 0; _ -> 1 end,
            queens_deal(Main, Workers, Turn + 1, Open + More, Found);
        {done, N} -> queens_deal(Main, Workers, Turn, Open - 1, Found + N)
    end.

queens(Workers, Size) ->
    Solutions = element(Size, {1, 0, 0, 2, 10, 4, 40, 92, 352, 724, 2680, 14200}),
    Began = now_ns(),
    spawn(?MODULE, queens_master, [self(), Size, Workers]),
    receive {found, Solutions} -> (now_ns() - Began) / 1.0e6 end.

%% ---- bank: a teller orders transfers; the debtor asks the creditor and confirms to the teller

account(Balance) ->
    receive
        {transfer, Teller, To, Amount} ->
            To ! {credit, self(), Amount},
            account_wait(Balance - Amount, Teller);
        {credit, From, Amount} -> From ! credited, account(Balance + Amount);
        {balance, From} -> From ! {balance, Balance}, account(Balance)
    end.

%% While a transfer is open the account takes credits, and puts other transfers off (in its mailbox).
account_wait(Balance, Teller) ->
    receive
        credited -> Teller ! confirmed, account(Balance);
        {credit, From, Amount} -> From ! credited, account_wait(Balance + Amount, Teller)
    end.

teller(Main, Accounts, N) ->
    Window = min(N, ?BATCH),
    Seed = transfers(Accounts, Window, 4711),
    confirmations(Accounts, N - Window, N, Seed),
    Main ! finished.

transfers(_, 0, Seed) -> Seed;
transfers(Accounts, Left, Seed) ->
    transfers(Accounts, Left - 1, transfer(Accounts, Seed)).

transfer(Accounts, Seed) ->
    Size = tuple_size(Accounts),
    A = (Seed * 1103515245 + 12345) band 16#7fffffff,
    B = (A * 1103515245 + 12345) band 16#7fffffff,
    From = (A bsr 8) rem Size,
    To = (From + 1 + (B bsr 8) rem (Size - 1)) rem Size,
    element(From + 1, Accounts) ! {transfer, self(), element(To + 1, Accounts), B rem 100},
    B.

confirmations(_, _, 0, _) -> ok;
confirmations(Accounts, ToSend, Open, Seed) ->
    receive confirmed when ToSend > 0 ->
        confirmations(Accounts, ToSend - 1, Open - 1, transfer(Accounts, Seed));
    confirmed -> confirmations(Accounts, 0, Open - 1, Seed)
    end.

bank(Count, N) ->
    Accounts = list_to_tuple([spawn(?MODULE, account, [1000]) || _ <- lists:seq(1, Count)]),
    Began = now_ns(),
    spawn(?MODULE, teller, [self(), Accounts, N]),
    Took = wait_end(Began),
    Total = lists:sum([begin A ! {balance, self()}, receive {balance, B} -> B end end
                       || A <- tuple_to_list(Accounts)]),
    Total = Count * 1000,
    N / Took * 1.0e3.

%% ---- two nodes

far() ->
    _ = io:get_line(""), % until the standard input ends
    halt(0).

near([Id, Count, Messages]) ->
    Far = far@localhost,
    connect(Far, 200),
    remote(Id, Far, list_to_integer(Count), list_to_integer(Messages)),
    halt(0, [{flush, true}]).

connect(Far, 0) -> exit({no_connection, Far});
connect(Far, Tries) ->
    case net_kernel:connect_node(Far) of
        true -> ok;
        _ -> timer:sleep(100), connect(Far, Tries - 1)
    end.

far_echo() ->
    receive {From, Payload} -> From ! Payload, far_echo() end.

far_sink(Source, Received, Every) ->
    receive _ ->
        case (Received + 1) rem Every of
            0 -> Source ! {progress, Received + 1};
            _ -> ok
        end,
        far_sink(Source, Received + 1, Every)
    end.

payload() -> binary:copy(<<7>>, ?PAYLOAD_BYTES).

remote("remote-pingpong", Far, _, Rounds) ->
    Echo = spawn(Far, ?MODULE, far_echo, []),
    Payload = payload(),
    rounds(Echo, Payload, Rounds div 10),
    Took = list_to_tuple(lists:sort(rounds(Echo, Payload, Rounds))),
    io:format("{\"value\": ~.3f, \"p99\": ~.3f}~n",
              [element(Rounds div 2 + 1, Took) / 1.0e3, element(Rounds * 99 div 100 + 1, Took) / 1.0e3]);
remote("remote-stream-64", Far, Pairs, N) ->
    Main = self(),
    Each = N div Pairs,
    Window = ?WINDOW div Pairs,
    Every = min(1024, Window div 4),
    Began = now_ns(),
    [spawn(fun() ->
         Sink = spawn(Far, ?MODULE, far_sink, [self(), 0, Every]),
         stream(Sink, payload(), Each div Every * Every, 0, 0, Window),
         Main ! finished
     end) || _ <- lists:seq(1, Pairs)],
    [receive finished -> ok end || _ <- lists:seq(1, Pairs)],
    Sent = Each div Every * Every * Pairs,
    io:format("{\"value\": ~.5f}~n", [Sent / (now_ns() - Began) * 1.0e3]).

rounds(_, _, 0) -> [];
rounds(Echo, Payload, N) ->
    Began = now_ns(),
    Echo ! {self(), Payload},
    receive Payload -> ok end,
    Took = now_ns() - Began,
    [Took | rounds(Echo, Payload, N - 1)].

stream(_, _, Count, Count, Count, _) -> ok;
stream(Sink, Payload, Count, Sent, Acknowledged, Window)
        when Sent < Count, Sent - Acknowledged < Window ->
    Sink ! Payload,
    stream(Sink, Payload, Count, Sent + 1, Acknowledged, Window);
stream(Sink, Payload, Count, Sent, _, Window) ->
    receive {progress, Received} -> stream(Sink, Payload, Count, Sent, Received, Window) end.
