#include "net/plain.h"

#include <stdlib.h>

#include "base/assert.h"
#include "net/buffer.h"

enum { PLAIN_BUFFER_BYTES = 32 * 1024 }; // two full records of TLS, so that flow looks alike

typedef struct plain {
    za_security_t security;
    za_buffer_t in;
    za_buffer_t out;
    bool closed; // by us: nothing more is sealed
    uint8_t in_bytes[PLAIN_BUFFER_BYTES];
    uint8_t out_bytes[PLAIN_BUFFER_BYTES];
} plain_t;

static za_err_t plain_push_wire(za_security_t *security, const uint8_t *bytes, size_t size,
                                size_t *taken)
{
    *taken = za_buffer_push(&((plain_t *)security)->in, bytes, size);
    return ZA_OK;
}

static za_err_t plain_pull_wire(za_security_t *security, uint8_t *out, size_t capacity,
                                size_t *size)
{
    *size = za_buffer_pull(&((plain_t *)security)->out, out, capacity);
    return ZA_OK;
}

static za_err_t plain_handshake(za_security_t *security, bool *done, za_identity_t *peer,
                                char *problem, size_t problem_bytes)
{
    (void)security;
    (void)problem;
    (void)problem_bytes;
    *peer = (za_identity_t){ .verified = false, .roles = ZA_ROLE_MEMBER };
    *done = true;
    return ZA_OK;
}

static za_err_t plain_seal(za_security_t *security, const uint8_t *plain, size_t size,
                           size_t *taken)
{
    plain_t *self = (plain_t *)security;
    if (self->closed) {
        return ZA_ECLOSED;
    }
    *taken = za_buffer_push(&self->out, plain, size);
    return ZA_OK;
}

static za_err_t plain_open(za_security_t *security, uint8_t *out, size_t capacity, size_t *size)
{
    *size = za_buffer_pull(&((plain_t *)security)->in, out, capacity);
    return ZA_OK;
}

static void plain_close(za_security_t *security)
{
    ((plain_t *)security)->closed = true;
}

static void plain_rest(za_security_t *security)
{
    (void)security; // what is not encrypted is of one host, or simulated: little to give back
}

static void plain_destroy(za_security_t *security)
{
    free(security);
}

static const za_security_ops_t plain_ops = {
    .push_wire = plain_push_wire,
    .pull_wire = plain_pull_wire,
    .handshake = plain_handshake,
    .seal = plain_seal,
    .open = plain_open,
    .close = plain_close,
    .rest = plain_rest,
    .destroy = plain_destroy,
};

static za_err_t plain_create(void *context, za_side_t side, za_security_t **out)
{
    (void)context;
    (void)side;
    plain_t *self = malloc(sizeof *self);
    if (self == NULL) {
        return ZA_ENOMEM;
    }
    self->security.ops = &plain_ops;
    self->closed = false;
    za_buffer_init(&self->in, self->in_bytes, sizeof self->in_bytes);
    za_buffer_init(&self->out, self->out_bytes, sizeof self->out_bytes);
    *out = &self->security;
    return ZA_OK;
}

za_security_factory_t za_plain_factory(void)
{
    return (za_security_factory_t){ .context = NULL, .create = plain_create };
}
