/** All scenarios: one line here and in scenarios.c for each. */
#pragma once

#include "check.h"

extern const zc_scenario_t zc_mailbox;
extern const zc_scenario_t zc_mailbox_busy;
extern const zc_scenario_t zc_mailbox_chain;
extern const zc_scenario_t zc_mailbox_claim;
extern const zc_scenario_t zc_mailbox_bound;
extern const zc_scenario_t zc_drop;
extern const zc_scenario_t zc_drop_bound;
extern const zc_scenario_t zc_rescue;
extern const zc_scenario_t zc_rescue_mutual;
extern const zc_scenario_t zc_rescue_timers;
extern const zc_scenario_t zc_ring;
extern const zc_scenario_t zc_ring_chain;
extern const zc_scenario_t zc_ring_full;
extern const zc_scenario_t zc_pool;
extern const zc_scenario_t zc_pool_pass;
extern const zc_scenario_t zc_pool_back;
extern const zc_scenario_t zc_park;
extern const zc_scenario_t zc_park_guests;
extern const zc_scenario_t zc_park_workers;
extern const zc_scenario_t zc_park_placed;
extern const zc_scenario_t zc_poller;
extern const zc_scenario_t zc_command;
extern const zc_scenario_t zc_lodger;
extern const zc_scenario_t zc_reuse;
extern const zc_scenario_t zc_slots;
extern const zc_scenario_t zc_family;
extern const zc_scenario_t zc_names;
extern const zc_scenario_t zc_names_clear;
extern const zc_scenario_t zc_names_split;
extern const zc_scenario_t zc_names_long;
extern const zc_scenario_t zc_roles;
extern const zc_scenario_t zc_peers;
