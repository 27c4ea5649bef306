/**
 * Oracle of the registry: what every run of names and groups must keep.
 *
 *   R1 equal (owner, applied) are equal maps, on all nodes and at all times
 *   R2 `applied` only grows, per node and owner
 *   R3 nothing of a terminal uid is answered
 *   R4 only what its owner once registered is answered, and in the end only what it has not removed
 *   R5 in the end all hold the union of the live owners' maps
 *   R6 in the end one holder is left of every unique name, and each loser was told once
 *   R7 the effects add up to what lookups and listings answer
 *   R8 no gap is ever applied: follows from R1, since a map with a gap has no equal
 *
 * It learns from the events that go in what is registered, by whomever.
 */
#pragma once

#include "sim/realm.h"

/** Adds it to a realm with services. ZA_ENOMEM. */
za_err_t za_oracle_registry_add(za_realm_t *realm);
