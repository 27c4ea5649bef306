// Writing: whoever holds a link's flag moves what is queued for its peer into the session, and what that
// sealed into the socket.

#include <sched.h>

#include "node/link.h"

enum { OUT_FILL_BYTES = 48 * 1024 }; // stop filling here: one more record still fits

/* ---- the flag ---------------------------------------------------------------------------------- */

bool za_link_try_hold(za_link_t *link)
{
    uint32_t free = 0;
    return atomic_compare_exchange_strong_explicit(&link->flag, &free, ZA_FLAG_HELD,
                                                   memory_order_acquire, // pairs: link-flag
                                                   memory_order_relaxed);
}

/** The owner's way: a holder is in a flush, which never waits. */
void za_link_hold(za_link_t *link)
{
    while (!za_link_try_hold(link)) {
        sched_yield();
    }
}

void za_link_release(za_link_t *link, za_worker_t *worker)
{
    for (;;) {
        uint32_t held = ZA_FLAG_HELD;
        if (atomic_compare_exchange_strong_explicit(&link->flag, &held, 0,
                                                    memory_order_release, // pairs: link-flag
                                                    memory_order_relaxed)) {
            return;
        }
        // Somebody queued frames meanwhile and left them to us. acquire: see their queue.
        atomic_exchange_explicit(&link->flag, ZA_FLAG_HELD, memory_order_acq_rel);
        za_link_flush_held(link, worker);
    }
}

void za_link_flush(za_link_t *link, za_worker_t *worker)
{
    for (;;) {
        if (za_link_try_hold(link)) {
            za_link_flush_held(link, worker);
            za_link_release(link, worker);
            return;
        }
        uint32_t held = ZA_FLAG_HELD;
        if (atomic_compare_exchange_strong_explicit(&link->flag, &held,
                                                    ZA_FLAG_HELD | ZA_FLAG_AGAIN,
                                                    memory_order_release, // pairs: link-flag
                                                    memory_order_relaxed)) {
            return; // the holder flushes again before it lets go
        }
        // The note is there already. It is written again: to have read it would not show the holder
        // what we queued.
        if (held == (ZA_FLAG_HELD | ZA_FLAG_AGAIN) &&
            atomic_compare_exchange_strong_explicit(&link->flag, &held, held,
                                                    memory_order_release, // pairs: link-flag
                                                    memory_order_relaxed)) {
            return;
        }
    }
}

/* ---- the holder -------------------------------------------------------------------------------- */

static void ask_owner(za_link_t *link, za_worker_t *worker, int kind, za_err_t err)
{
    za_request_t *request = za_request_create(link->node, worker, 0, true);
    if (request == NULL) {
        return;
    }
    request->kind = kind;
    request->target = link;
    request->event.err = err;
    request->event.id = link->generation;
    za_request_post(link->node, request);
}

/** False: the socket is full, or broken; the owner knows. */
bool za_link_write_out(za_link_t *link, za_worker_t *worker)
{
    za_node_t *node = link->node;
    link->moved |= link->out_used > 0;
    while (link->out_sent < link->out_used) {
        size_t taken = 0;
        za_err_t err = node->params.transport.ops->write(link->conn, link->out + link->out_sent,
                                                         link->out_used - link->out_sent, &taken);
        ZA_COUNT(node, writes, 1);
        ZA_COUNT(node, bytes_out, taken);
        link->out_sent += (uint32_t)taken;
        if (err != ZA_OK || taken == 0) {
            link->blocked = true;
            ask_owner(link, worker, err == ZA_OK ? ZA_REQUEST_ARM_WRITE : ZA_REQUEST_CLOSE_LINK,
                      err);
            return false;
        }
    }
    link->out_used = link->out_sent = 0;
    return true;
}

/** Moves frames into the session and sealed bytes out of it; false: nothing is left to write. */
bool za_link_fill_out(za_link_t *link, za_worker_t *worker)
{
    bool moved = true;
    while (moved && link->out_used < OUT_FILL_BYTES) {
        moved = link->peer != NULL && za_lanes_fill(link, worker);
        za_session_flush(link->session);
        size_t size = 0;
        do {
            za_session_pull(link->session, link->out + link->out_used,
                            ZA_LINK_OUT_BYTES - link->out_used, &size);
            link->out_used += (uint32_t)size;
            moved |= size > 0;
        } while (size > 0 && link->out_used < ZA_LINK_OUT_BYTES);
    }
    return link->out_used > 0;
}

void za_link_flush_held(za_link_t *link, za_worker_t *worker)
{
    if (link->session == NULL || link->conn == NULL || link->blocked) {
        return;
    }
    while (za_link_write_out(link, worker) && za_link_fill_out(link, worker)) {
        // until the lanes are empty or the socket is full
    }
    if (link->sent_messages > 0) {
        ZA_COUNT(link->node, messages_out, link->sent_messages);
        link->sent_messages = 0;
    }
}

void za_link_hand_back(za_link_t *link, za_worker_t *worker)
{
    za_link_flush_held(link, worker);
    ask_owner(link, worker, ZA_REQUEST_GREETED, ZA_OK);
}
