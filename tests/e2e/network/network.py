#!/usr/bin/env python3
"""network.py SCENARIO ZACTORD ZACTORCTL SENTINEL [--seconds N]

Five nodes, each in a network namespace of its own, with a fault between them; at the end views, names
and watches are right on all of them. --seconds makes faults last longer than they do in CI.

partition   two nodes apart from three: each side goes on alone, and after the heal they are one
one-way     what one node says to another is lost, then all that one node is told
loss        30 % of all packets are lost: nobody is taken for dead
cut         two nodes cannot reach each other, and all others reach both: nobody is taken for dead
"""
import argparse
import sys

import namespaces
from fleet import Failed, Fleet, say

NODES = 5
LOSS_PERCENT = 30


def sides_see_only_themselves(fleet, sides):
    for side in sides:
        mine = {node.name for node in side}
        for node in side:
            live = {name for name, state in fleet.states(node).items()
                    if state not in ("left", "down")}
            if live != mine:
                return f"{node.name} sees {live}"
        found = fleet.names_problem(side)
        if found is not None:
            return found
    return None


def partition(fleet, switch, seconds):
    few, many = fleet.nodes[:2], fleet.nodes[2:]
    uids = {node.name: fleet.members(node)[node.name][0] for node in many}
    switch.drop(namespaces.both_ways((1, 2), (3, 4, 5)))
    fleet.wait("each side goes on alone", lambda: sides_see_only_themselves(fleet, (few, many)))
    fleet.hold("each side goes on alone", lambda: sides_see_only_themselves(fleet, (few, many)),
               seconds)
    switch.heal()
    fleet.wait("healed", fleet.problem)
    after = {node.name: fleet.members(node)[node.name][0] for node in many}
    if after != uids:
        raise Failed(f"the greater side lost its lives: {uids}, now {after}")


def all_up(fleet):
    wanted = {node.name: "up" for node in fleet.nodes}
    for node in fleet.nodes:
        states = fleet.states(node)
        if not set(states.values()) <= {"up", "suspect"} or states.keys() != wanted.keys():
            return f"{node.name} sees {states}"
    return fleet.nobody_was_downed()


def one_way(fleet, switch, seconds):
    switch.drop([(1, 2)])
    fleet.hold("what n1 says to n2 is lost", lambda: all_up(fleet), seconds)
    switch.heal()
    fleet.wait("healed", fleet.problem)
    # A node that hears nothing is no use to anybody, and the others say so.
    switch.drop([(other, 1) for other in range(2, NODES + 1)])
    rest = fleet.nodes[1:]
    fleet.wait("the others go on without n1, which is deaf",
               lambda: sides_see_only_themselves(fleet, (rest,)))
    switch.heal()
    fleet.wait("healed", fleet.problem)


def loss(fleet, switch, seconds):
    switch.lose(LOSS_PERCENT)
    fleet.hold(f"{LOSS_PERCENT} % are lost", fleet.nobody_was_downed, seconds)
    switch.heal()
    fleet.wait("healed", fleet.problem)
    found = fleet.nobody_was_downed()
    if found is not None:
        raise Failed(f"somebody was taken for dead: {found}")


def cut(fleet, switch, seconds):
    switch.drop(namespaces.both_ways((1,), (2,)))
    fleet.hold("n1 and n2 cannot reach each other", lambda: all_up(fleet), seconds)
    switch.heal()
    fleet.wait("healed", fleet.problem)
    found = fleet.nobody_was_downed()
    if found is not None:
        raise Failed(f"somebody was taken for dead: {found}")


# The function, and for how long the fault lasts in CI.
SCENARIOS = {"partition": (partition, 2), "one-way": (one_way, 8), "loss": (loss, 20), "cut": (cut, 8)}


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario", choices=SCENARIOS)
    parser.add_argument("programs", nargs=3, metavar="PROGRAM")
    parser.add_argument("--seconds", type=int)
    options = parser.parse_args()
    namespaces.enter()
    run, seconds = SCENARIOS[options.scenario]
    try:
        switch = namespaces.Switch(NODES)
        nodes = [switch.node(i) for i in range(1, NODES + 1)]
        with Fleet(options.programs, nodes) as fleet:
            fleet.start_all()
            run(fleet, switch, options.seconds or seconds)
    except Failed as failure:
        say(f"FAILED: {failure}")
        return 1
    say("all is right")
    return 0


if __name__ == "__main__":
    sys.exit(main())
