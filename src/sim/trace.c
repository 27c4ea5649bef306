// What happens in a realm, in lines for people.

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "sim/realm_internal.h"

enum {
    LINE_BYTES = 512,
    NODE_BYTES = 40,
    ABOUT_BYTES = 2 * NODE_BYTES + 32,
};

static const char *event_name(za_cluster_event_type_t type)
{
    static const char *const names[] = {
        [ZA_CLUSTER_TICK] = "tick",
        [ZA_CLUSTER_CONTINUE] = "continue",
        [ZA_CLUSTER_DATAGRAM] = "datagram",
        [ZA_CLUSTER_FRAME] = "frame",
        [ZA_CLUSTER_LINK_UP] = "link up",
        [ZA_CLUSTER_LINK_DOWN] = "link down",
        [ZA_CLUSTER_CONNECT_FAILED] = "connect failed",
        [ZA_CLUSTER_WANT_LINK] = "want link",
        [ZA_CLUSTER_LEAVE] = "leave",
        [ZA_CLUSTER_DOWN_NODE] = "down node",
        [ZA_CLUSTER_REGISTER] = "register",
        [ZA_CLUSTER_UNREGISTER] = "unregister",
        [ZA_CLUSTER_WATCH] = "watch",
        [ZA_CLUSTER_UNWATCH] = "unwatch",
        [ZA_CLUSTER_LINK] = "link",
        [ZA_CLUSTER_UNLINK] = "unlink",
        [ZA_CLUSTER_LOCAL_DOWN] = "local down",
        [ZA_CLUSTER_ACTOR_STOPPED] = "actor stopped",
        [ZA_CLUSTER_SPAWN] = "spawn",
        [ZA_CLUSTER_STOP_CHILD] = "stop child",
        [ZA_CLUSTER_CHILD_STARTED] = "child started",
    };
    bool known = (size_t)type < sizeof names / sizeof names[0] && names[type] != NULL;
    return known ? names[type] : "event";
}

static const char *effect_name(za_effect_type_t type)
{
    static const char *const names[] = {
        [ZA_EFFECT_SEND_DATAGRAM] = "send datagram",
        [ZA_EFFECT_SEND_FRAME] = "send frame",
        [ZA_EFFECT_CONNECT] = "connect",
        [ZA_EFFECT_CLOSE_LINK] = "close link",
        [ZA_EFFECT_MEMBER] = "member",
        [ZA_EFFECT_APART] = "apart",
        [ZA_EFFECT_REBORN] = "reborn",
        [ZA_EFFECT_LEFT] = "left",
        [ZA_EFFECT_REFUSED] = "refused",
        [ZA_EFFECT_NAME_SET] = "name set",
        [ZA_EFFECT_NAME_CLEARED] = "name cleared",
        [ZA_EFFECT_NAME_LOST] = "name lost",
        [ZA_EFFECT_FIRE] = "fire",
        [ZA_EFFECT_WATCH_LOCAL] = "watch local",
        [ZA_EFFECT_UNWATCH_LOCAL] = "unwatch local",
        [ZA_EFFECT_LINK_LOCAL] = "link local",
        [ZA_EFFECT_EXIT_LOCAL] = "exit local",
        [ZA_EFFECT_SPAWN_LOCAL] = "spawn local",
        [ZA_EFFECT_STOP_LOCAL] = "stop local",
        [ZA_EFFECT_SPAWNED] = "spawned",
        [ZA_EFFECT_SPAWN_FAILED] = "spawn failed",
        [ZA_EFFECT_LOG] = "log",
        [ZA_EFFECT_MARK] = "mark",
    };
    bool known = (size_t)type < sizeof names / sizeof names[0] && names[type] != NULL;
    return known ? names[type] : "effect";
}

/** "n3" for the present process of a host, "n3 once" for a former uid of it. */
static void uid_text(const za_realm_t *realm, uint64_t uid, char *text, size_t bytes)
{
    uint32_t host = za_host_of_uid(realm, uid);
    if (host == UINT32_MAX) {
        snprintf(text, bytes, "%016llx", (unsigned long long)uid);
        return;
    }
    bool present = za_host_uid(realm, host) == uid;
    snprintf(text, bytes, "%s%s", realm->hosts[host].name, present ? "" : " once");
}

/** Which watch, link or child it is about, and the far ends as nodes: " #5 of n3 on n4"; else nothing. */
static void about_text(const za_realm_t *realm, uint64_t id, za_ref_t watcher, za_ref_t target,
                       char text[static ABOUT_BYTES])
{
    char of[NODE_BYTES] = "";
    char on[NODE_BYTES] = "";
    if (watcher.node != 0) {
        uid_text(realm, watcher.node, of, sizeof of);
    }
    if (target.node != 0) {
        uid_text(realm, target.node, on, sizeof on);
    }
    text[0] = '\0';
    if (id != 0) {
        snprintf(text, ABOUT_BYTES, "#%" PRIu64 "%s%s%s%s", id, of[0] != '\0' ? " of " : "", of,
                 on[0] != '\0' ? " on " : "", on);
    }
}

static bool traced(const za_realm_t *realm, uint32_t host)
{
    return realm->trace.host == UINT32_MAX || realm->trace.host == host;
}

void za_trace_text(za_realm_t *realm, uint32_t host, const char *format, ...)
{
    if (realm->trace.line == NULL || !traced(realm, host)) {
        return;
    }
    char line[LINE_BYTES];
    int used = snprintf(line, sizeof line, "%11.6f %-6s ",
                        (double)realm->now_us / (double)ZA_US_PER_S, realm->hosts[host].name);
    va_list args;
    va_start(args, format);
    vsnprintf(line + used, sizeof line - (size_t)used, format, args);
    va_end(args);
    realm->trace.line(realm->trace.context, line);
}

void za_trace_event(za_realm_t *realm, uint32_t host, const za_cluster_event_t *event)
{
    if (!traced(realm, host)) {
        return;
    }
    char who[NODE_BYTES] = "";
    if (event->uid != 0) {
        uid_text(realm, event->uid, who, sizeof who);
    }
    const char *address = event->address != NULL ? event->address : "";
    const char *name = event->name != NULL && event->uid == 0 ? event->name : "";
    const char *err = event->err != ZA_OK ? za_err_name(event->err) : "";
    if (event->size > 0) {
        za_trace_text(realm, host, "<- %s %s, %u bytes", event_name(event->type), who, event->size);
    } else {
        char about[ABOUT_BYTES];
        about_text(realm, event->id, event->watcher, event->ref, about);
        za_trace_text(realm, host, "<- %s %s %s %s %s %s", event_name(event->type), who, name,
                      address, err, about);
    }
}

static void trace_member(za_realm_t *realm, uint32_t host, const char *who,
                         const za_effect_t *effect)
{
    za_member_info_t info = { .incarnation = 0 };
    za_host_find(realm, host, effect->uid, &info);
    za_trace_text(realm, host, "   ** %s is %s, incarnation %" PRIu64, who,
                  za_member_state_name(effect->state), info.incarnation);
}

void za_trace_effect(za_realm_t *realm, uint32_t host, const za_effect_t *effect)
{
    if (!traced(realm, host)) {
        return;
    }
    char who[NODE_BYTES] = "";
    if (effect->uid != 0) {
        uid_text(realm, effect->uid, who, sizeof who);
    }
    const char *name = effect->name != NULL ? effect->name : "";
    const char *address = effect->address != NULL ? effect->address : "";
    switch (effect->type) {
    case ZA_EFFECT_SEND_DATAGRAM:
    case ZA_EFFECT_SEND_FRAME:
        za_trace_text(realm, host, "   -> %s %s, %u bytes", effect_name(effect->type), who,
                      effect->size);
        break;
    case ZA_EFFECT_MEMBER:
        trace_member(realm, host, who, effect);
        break;
    case ZA_EFFECT_MARK:
        za_trace_text(realm, host, "   mark %d", (int)effect->mark);
        break;
    default: {
        char about[ABOUT_BYTES];
        about_text(realm, effect->id, effect->watcher, effect->ref, about);
        za_trace_text(realm, host, "   -> %s %s %s %s %s", effect_name(effect->type), who, name,
                      address, about);
        break;
    }
    }
}
