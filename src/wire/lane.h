/** Lanes of a link, in the order in which they are served: how urgent and how reliable. */
#pragma once

typedef enum za_lane {
    ZA_LANE_CONTROL = 0, // membership, registry, datagrams of the failure detector
    ZA_LANE_SYSTEM = 1,  // watches, supervision; acked and resent by cluster/syslane
    ZA_LANE_USER = 2,    // messages
    ZA_LANE_BULK = 3,    // chunks of large messages, and what must stay behind them
    ZA_LANE_COUNT
} za_lane_t;
