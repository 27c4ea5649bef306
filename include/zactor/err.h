/**
 * Errors: what a call can answer.
 *
 * ZA_OK is 0 and every error is negative, so a code fits into an int beside a count and is never
 * taken for one. Codes are stable: they cross the wire and reach operators. New ones are appended.
 */
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define ZA_API __attribute__((visibility("default")))
#define ZA_MUST_USE __attribute__((warn_unused_result))
#define ZA_PRINTF(string, first) __attribute__((format(printf, string, first)))
#else
#define ZA_API
#define ZA_MUST_USE
#define ZA_PRINTF(string, first)
#endif

/** Says in the source that a result is dropped on purpose: ZA_IGNORE(za_tell(...)). */
#define ZA_IGNORE(expression)                                                                      \
    do {                                                                                           \
        if (expression) {                                                                          \
        }                                                                                          \
    } while (0)

/** X(symbol, code, text: what is wrong, and what to do), grouped by whose fault it is. */
#define ZA_ERRORS(X)                                                                               \
    /* the caller */                                                                               \
    X(ZA_EINVAL, -1, "invalid argument: the function's contract says which are valid")             \
    X(ZA_ETOOBIG, -2, "larger than its limit: split it, or share a blob")                          \
    X(ZA_ETYPE, -3, "no handler for this message type: list one in ZA_ACTOR")                      \
    X(ZA_EEXIST, -4, "exists already: use that one, or another name")                              \
    X(ZA_ENOENT, -5, "not found: check the name")                                                  \
    X(ZA_ECONFIG, -6, "invalid configuration: correct the setting that the problem names")         \
    X(ZA_EDENIED, -7, "not allowed: leave it to who may, a parent or an administrator")            \
    X(ZA_ESTOPPING, -8, "the node or actor is stopping: begin nothing new")                        \
    /* the peer */                                                                                 \
    X(ZA_EFULL, -20, "the mailbox or queue is full: send less or later, or raise its bound")       \
    X(ZA_EGONE, -21, "the actor is gone: look it up again")                                        \
    X(ZA_ENOROUTE, -22, "no route to the node: wait until it is up, or look the actor up again")   \
    X(ZA_EPROTO, -23, "the peer broke the protocol: check what runs there")                        \
    X(ZA_EVERSION, -24, "no common protocol version: update the older side")                       \
    X(ZA_ECLUSTER, -25, "another cluster: check cluster.name and the address")                     \
    X(ZA_EAUTH, -26, "the peer's identity was refused: check its certificate")                     \
    X(ZA_ECLOSED, -27, "the peer closed the connection: see the peer's log")                       \
    X(ZA_EREFUSED, -28, "connection refused: check that the peer runs and listens there")          \
    X(ZA_ETIMEOUT, -29, "timed out: try again, or allow more time")                                \
    X(ZA_ENOANSWER, -30, "nobody will answer: see why the actor failed or did not reply")          \
    X(ZA_EUNAVAILABLE, -31, "this side of the cluster has no majority: wait until it is whole")    \
    /* the system */                                                                               \
    X(ZA_ENOBUFS, -40, "a bounded pool is empty: hold less at once, or raise its limit")           \
    X(ZA_ENOMEM, -41, "out of memory: lower the limits, or give the system more")                  \
    X(ZA_EIO, -42, "input or output failed: check the path, disk or network that the log names")   \
    X(ZA_ECRYPTO, -43, "a cryptographic operation failed: check keys and certificates")

typedef enum za_err {
    ZA_OK = 0,
#define ZA_ERR_ENUM(symbol, code, text) symbol = (code),
    ZA_ERRORS(ZA_ERR_ENUM)
#undef ZA_ERR_ENUM
} za_err_t;

/** "ZA_EFULL". Never NULL; "ZA_E?" for an unknown code. */
ZA_API const char *za_err_name(za_err_t err);

/** "the mailbox or queue is full: send less or later, or raise its bound". Never NULL. */
ZA_API const char *za_err_text(za_err_t err);

#ifdef __cplusplus
}
#endif
