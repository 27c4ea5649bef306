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

/** X(symbol, code, text), grouped by whose fault it is. */
#define ZA_ERRORS(X)                                                                               \
    /* the caller */                                                                               \
    X(ZA_EINVAL, -1, "invalid argument")                                                           \
    X(ZA_ETOOBIG, -2, "larger than its limit")                                                     \
    X(ZA_ETYPE, -3, "no handler for this message type")                                            \
    X(ZA_EEXIST, -4, "exists already")                                                             \
    X(ZA_ENOENT, -5, "not found")                                                                  \
    X(ZA_ECONFIG, -6, "invalid configuration")                                                     \
    X(ZA_EDENIED, -7, "not allowed")                                                               \
    X(ZA_ESTOPPING, -8, "the node is stopping")                                                    \
    /* the peer */                                                                                 \
    X(ZA_EFULL, -20, "the mailbox or queue is full")                                               \
    X(ZA_EGONE, -21, "the actor is gone")                                                          \
    X(ZA_ENOROUTE, -22, "no route to the node")                                                    \
    X(ZA_EPROTO, -23, "the peer broke the protocol")                                               \
    X(ZA_EVERSION, -24, "no common protocol version")                                              \
    X(ZA_ECLUSTER, -25, "another cluster")                                                         \
    X(ZA_EAUTH, -26, "the peer's identity was refused")                                            \
    X(ZA_ECLOSED, -27, "the peer closed the connection")                                           \
    X(ZA_EREFUSED, -28, "connection refused")                                                      \
    X(ZA_ETIMEOUT, -29, "timed out")                                                               \
    X(ZA_ENOANSWER, -30, "nobody will answer")                                                     \
    /* the system */                                                                               \
    X(ZA_ENOBUFS, -40, "a bounded pool is empty")                                                  \
    X(ZA_ENOMEM, -41, "out of memory")                                                             \
    X(ZA_EIO, -42, "input or output failed")                                                       \
    X(ZA_ECRYPTO, -43, "a cryptographic operation failed")

typedef enum za_err {
    ZA_OK = 0,
#define ZA_ERR_ENUM(symbol, code, text) symbol = (code),
    ZA_ERRORS(ZA_ERR_ENUM)
#undef ZA_ERR_ENUM
} za_err_t;

/** "ZA_EFULL". Never NULL; "ZA_E?" for an unknown code. */
ZA_API const char *za_err_name(za_err_t err);

/** "the mailbox or queue is full". Never NULL. */
ZA_API const char *za_err_text(za_err_t err);

#ifdef __cplusplus
}
#endif
