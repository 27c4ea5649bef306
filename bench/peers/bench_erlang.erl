%% The workloads of ZActor's benchmarks in Erlang, for comparison in the same run.
%%
%%     erl -noshell +S 1:1 +P 2000000 -pa DIR -run bench_erlang main ID COUNT MESSAGES
%%     erl -noshell -sname far@localhost DISTRIBUTION... -pa DIR -run bench_erlang far
%%     erl -noshell -sname near@localhost DISTRIBUTION... -pa DIR -run bench_erlang near ID COUNT MESSAGES
%%
%% Prints one JSON object: the value in the unit of the id, p99 where it is a latency.
-module(bench_erlang).
-export([main/1, near/1, far/0]).
-export([player/1, producer/2, sink/2, link/2, child/0, idle/4, far_sink/3, far_echo/0]).

-define(BATCH, 100).
-define(WINDOW, 16384).
-define(PAYLOAD_BYTES, 64).

main([Id, Count, Messages]) ->
    Value = measure(Id, list_to_integer(Count), list_to_integer(Messages)),
    io:format("{\"value\": ~.4f}~n", [float(Value)]),
    halt(0, [{flush, true}]).

now_ns() -> erlang:monotonic_time(nanosecond).

wait_end(Began) ->
    receive finished -> now_ns() - Began end.

measure("pingpong", _, N) -> pingpong(N);
measure("fanin-" ++ _, Producers, N) -> fanin(Producers, N);
measure("ring", Tokens, N) -> N / ring(1000, Tokens, N) * 1.0e3;
measure("threadring", 1, N) -> ring(503, 1, N) / N;
measure("spawn", _, N) -> spawning(N);
measure("actor-bytes", _, N) -> actor_bytes(N).

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
    A = spawn(?MODULE, player, [self()]),
    B = spawn(?MODULE, player, [self()]),
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

fanin(Producers, N) ->
    Each = N div Producers,
    Sink = spawn(?MODULE, sink, [self(), Each * Producers]),
    Began = now_ns(),
    [spawn(?MODULE, producer, [Sink, Each]) || _ <- lists:seq(1, Producers)],
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
