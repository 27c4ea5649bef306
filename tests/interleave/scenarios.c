#include "scenarios.h"

const zc_scenario_t *const zc_scenarios[] = {
    &zc_mailbox,       &zc_mailbox_busy,  &zc_mailbox_chain,
    &zc_mailbox_claim, &zc_mailbox_bound, &zc_ring,
    &zc_ring_chain,    &zc_ring_full,     &zc_pool,
    &zc_pool_pass,     &zc_pool_back,     &zc_park,
    &zc_park_guests,   &zc_park_workers,  &zc_park_placed,
    &zc_poller,        &zc_command,       &zc_reuse,
    &zc_lodger,        &zc_slots,         &zc_family,
    &zc_drop,          &zc_drop_bound,    &zc_rescue,
    &zc_rescue_mutual, &zc_rescue_timers, &zc_names,
    &zc_names_clear,   &zc_names_split,   &zc_names_long,
    &zc_roles,         &zc_peers,         NULL,
};
