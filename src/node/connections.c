// Connections: from a socket to a session to the link of a peer. The owner makes them and reads; whoever
// holds a link's flag writes.

#include <stdio.h>
#include <stdlib.h>

#include "base/pages.h"
#include "node/admin.h"
#include "node/link.h"

enum {
    CONNECT_TIMEOUT_MS = 5000,
};

/* ---- a session's turn -------------------------------------------------------------------------- */

static za_err_t create_session(za_node_t *node, za_link_t *link, za_side_t side)
{
    za_session_config_t config = {
        .cluster = node->cluster_name,
        .cluster_id = node->params.cluster_id,
        .name = node->name,
        .address = node->address,
        .uid = za_node_uid(node),
        .role = ZA_ROLE_MEMBER,
        .draining = atomic_load_explicit(&node->leaving, memory_order_relaxed), // a hint
    };
    return za_session_create(&config, &node->params.security, side, node->now_ms, &link->session);
}

/** Takes all events out of the session. The owner, holding the flag. */
static void pump_all(za_node_t *node, za_link_t *link)
{
    za_session_event_t event;
    while (!link->closing && za_session_next(link->session, node->now_ms, &event)) {
        za_link_on_event(node, link, &event);
    }
    if (node->received_messages > 0) {
        ZA_COUNT(node, messages_in, node->received_messages);
        node->received_messages = 0;
    }
}

/** As pump_all, but leaves what is expensive to a greeter, when the flag is let go. */
static void pump(za_node_t *node, za_link_t *link)
{
    if (node->greeter_count > 0 && za_session_greeting(link->session)) {
        link->wants_greeter = true;
    } else {
        pump_all(node, link);
    }
}

/** False: a worker flushes, come again. */
static bool owner_try_hold(za_link_t *link)
{
    if (!za_link_try_hold(link)) {
        return false;
    }
    link->owner_holds = true;
    return true;
}

/** Lets go of the flag, or leaves it to a greeter. */
static void owner_release(za_link_t *link)
{
    bool wanted = link->wants_greeter && !link->closing;
    link->wants_greeter = false;
    if (wanted) {
        link->owner_holds = false;
        link->with_greeter = za_greeter_take(link->node, link);
        if (link->with_greeter) {
            return;
        }
        link->owner_holds = true;
        pump_all(link->node, link);
    }
    za_link_flush_held(link, link->node->worker);
    link->owner_holds = false;
    za_link_release(link, link->node->worker);
}

static void listen_to(za_link_t *link, bool wanted)
{
    const za_transport_ops_t *ops = link->node->params.transport.ops;
    if (ops->want_read != NULL && link->conn != NULL) {
        ops->want_read(link->conn, wanted);
    }
}

void za_link_greeted(za_link_t *link)
{
    za_node_t *node = link->node;
    link->with_greeter = false;
    listen_to(link, true);
    link->owner_holds = true;
    link->blocked = false; // on_writable may have come meanwhile
    if (link->has_event && !link->closing) {
        link->has_event = false;
        za_link_on_event(node, link, &link->event);
    }
    // What follows the handshake in the same bytes: Hello, and events it leads to.
    if (!link->closing && !za_session_greeting(link->session)) {
        pump_all(node, link);
    }
    owner_release(link);
}

/* ---- what the transport says ------------------------------------------------------------------- */

static uint32_t count_greetings(const za_node_t *node)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < node->links_top; i++) {
        count += node->links[i].state == ZA_LINK_GREETING && !node->links[i].we_connected;
    }
    return count;
}

static void *on_accepted(void *context, za_conn_t *conn, za_listener_t listener, const char *from)
{
    za_node_t *node = context;
    za_node_touch(node);
    // Strangers must not keep the operator out.
    bool room = listener == ZA_LISTENER_ADMIN || count_greetings(node) < ZA_GREETINGS_MAX;
    za_link_t *link = room ? za_link_take(node) : NULL;
    if (link == NULL) {
        za_link_refused(node, "from", from, "too many are being made, or there is no memory");
        return NULL;
    }
    snprintf(link->address, sizeof link->address, "%s", from);
    if (listener == ZA_LISTENER_ADMIN) {
        if (link->admin_in == NULL) {
            link->admin_in = malloc(ZA_ADMIN_REQUEST_BYTES_MAX + ZA_ADMIN_HEADER_BYTES);
        }
        if (link->admin_in == NULL) {
            return NULL;
        }
        link->admin_have = 0;
        link->state = ZA_LINK_LOCAL_ADMIN;
        link->conn = conn;
        return link;
    }
    // Held: a worker may still come to flush the former link of this slot.
    za_link_hold_anew(link);
    za_err_t err = create_session(node, link, ZA_SIDE_SERVER);
    if (err == ZA_OK) {
        link->state = ZA_LINK_GREETING;
        link->conn = conn;
        pump(node, link); // without TLS the accepting side speaks first
    }
    owner_release(link);
    return err == ZA_OK ? link : NULL;
}

static void on_refused(void *context, za_listener_t listener, za_refusal_t why)
{
    za_node_t *node = context;
    za_node_touch(node);
    za_link_refused(
        node, "from", listener == ZA_LISTENER_ADMIN ? "the unix socket" : "another host",
        why == ZA_REFUSAL_USER ? "it is another user's" : "no file descriptor is left (ulimit -n)");
}

static void on_connected(void *context, za_err_t err)
{
    za_link_t *link = context;
    za_node_t *node = link->node;
    if (link->closing) {
        return;
    }
    za_node_touch(node);
    if (err != ZA_OK) {
        za_link_close(link, err); // a greeter may have the flag of one that was accepted
        return;
    }
    za_link_hold_anew(link); // as in on_accepted
    err = create_session(node, link, ZA_SIDE_CLIENT);
    if (err == ZA_OK) {
        link->state = ZA_LINK_GREETING;
        pump(node, link);
    } else {
        za_link_close(link, err);
    }
    owner_release(link);
}

static void push_bytes(za_node_t *node, za_link_t *link, size_t size)
{
    size_t pushed = 0;
    while (pushed < size && !link->closing) {
        size_t taken = 0;
        za_err_t err = za_session_push(link->session, node->in + pushed, size - pushed, &taken);
        if (err != ZA_OK) {
            za_link_close(link, err);
            return;
        }
        pushed += taken;
        pump(node, link);
        if (taken == 0 && link->wants_greeter) {
            pump_all(node, link); // its input is full: a greeter would come too late
        }
    }
}

static void read_session(za_node_t *node, za_link_t *link)
{
    for (size_t total = 0; total < ZA_LINK_READ_BYTES_MAX && !link->closing;) {
        size_t size = 0;
        za_err_t err =
            node->params.transport.ops->read(link->conn, node->in, ZA_LINK_IN_BYTES, &size);
        if (err != ZA_OK) {
            za_session_eof(link->session, err);
            pump_all(node, link);
            za_link_close(link, err);
            return;
        }
        if (size == 0) {
            return;
        }
        total += size;
        link->moved = true;
        ZA_COUNT(node, bytes_in, size);
        push_bytes(node, link, size);
        if (size < ZA_LINK_IN_BYTES) {
            return; // most likely that was all; readiness tells otherwise
        }
    }
}

static void on_readable(void *context)
{
    za_link_t *link = context;
    za_node_t *node = link->node;
    if (link->with_greeter) {
        listen_to(link, false); // or readiness would come again and again, for as long as it has it
        return;
    }
    if (link->closing || !owner_try_hold(link)) {
        return; // a worker writes: readiness comes again
    }
    za_node_touch(node);
    if (link->state == ZA_LINK_LOCAL_ADMIN) {
        za_link_admin_read(node, link);
    } else {
        read_session(node, link);
    }
    owner_release(link);
}

static void on_writable(void *context)
{
    za_link_t *link = context;
    if (link->with_greeter) {
        return; // it writes when it is back: to wait for it here may be to wait for this thread
    }
    za_link_hold(link);
    link->owner_holds = true;
    link->blocked = false;
    if (link->state == ZA_LINK_LOCAL_ADMIN && za_link_write_out(link, link->node->worker)) {
        za_link_admin_serve(link->node, link);
    }
    owner_release(link);
}

void za_link_arm_write(za_link_t *link)
{
    if (link->conn != NULL && link->blocked && !link->closing) {
        link->node->params.transport.ops->want_write(link->conn);
    }
}

/* ---- now and then ------------------------------------------------------------------------------ */

/** A link on which nothing has passed since the last sweep needs no buffers until something does. */
static void rest_quiet(za_link_t *link)
{
    if (!za_link_try_hold(link)) {
        return; // it is in use
    }
    if (link->moved) {
        link->rested = false;
    } else if (!link->rested && link->session != NULL) {
        link->rested = true;
        za_session_rest(link->session);
        if (link->out_used == 0) {
            za_pages_drop(link->out, ZA_LINK_OUT_BYTES);
        }
    }
    link->moved = false;
    za_link_release(link, link->node->worker);
}

void za_links_sweep(za_node_t *node)
{
    for (uint32_t i = 0; i < node->links_top; i++) {
        za_link_t *link = &node->links[i];
        if (link->closing) {
            continue;
        }
        if (link->state == ZA_LINK_CONNECTING &&
            node->now_ms - link->opened_ms >= CONNECT_TIMEOUT_MS) {
            za_link_close(link, ZA_ETIMEOUT);
        } else if (link->state == ZA_LINK_GREETING && owner_try_hold(link)) {
            pump(node, link); // its deadlines
            owner_release(link);
        } else if (link->state == ZA_LINK_MEMBER || link->state == ZA_LINK_CLIENT) {
            rest_quiet(link);
        }
    }
}

const za_transport_events_t za_node_transport_events = {
    .accepted = on_accepted,
    .refused = on_refused,
    .connected = on_connected,
    .readable = on_readable,
    .writable = on_writable,
    .datagram = za_node_datagrams_on_arrived,
};
