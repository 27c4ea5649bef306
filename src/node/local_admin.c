// Administration over the unix socket: one request at a time, 4 bytes of length, little-endian, and an
// AdminRequest; the answer alike. No session. Runs in the owner.

#include <string.h>

#include "node/admin.h"
#include "node/link.h"

void za_link_admin_serve(za_node_t *node, za_link_t *link)
{
    uint8_t *in = link->admin_in;
    if (link->out_used > 0 || link->admin_have < ZA_ADMIN_HEADER_BYTES) {
        return;
    }
    uint32_t size = in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16 | (uint32_t)in[3] << 24;
    if (size > ZA_ADMIN_REQUEST_BYTES_MAX) {
        za_link_close(link, ZA_EPROTO);
        return;
    }
    if (link->admin_have < ZA_ADMIN_HEADER_BYTES + size) {
        return;
    }
    size_t reply = 0;
    ZA_COUNT(node, admin_requests, 1);
    za_err_t err =
        za_admin_serve(node->admin, ZA_ROLE_ADMIN, in + ZA_ADMIN_HEADER_BYTES, size,
                       link->out + ZA_ADMIN_HEADER_BYTES, ZA_ADMIN_REPLY_BYTES_MAX, &reply);
    if (err != ZA_OK) {
        za_link_close(link, err);
        return;
    }
    for (int i = 0; i < ZA_ADMIN_HEADER_BYTES; i++) {
        link->out[i] = (uint8_t)(reply >> (8 * i));
    }
    link->out_used = (uint32_t)(ZA_ADMIN_HEADER_BYTES + reply);
    link->admin_have -= ZA_ADMIN_HEADER_BYTES + size;
    memmove(in, in + ZA_ADMIN_HEADER_BYTES + size, link->admin_have);
    za_link_write_out(link, node->worker);
}

void za_link_admin_read(za_node_t *node, za_link_t *link)
{
    size_t room = ZA_ADMIN_REQUEST_BYTES_MAX + ZA_ADMIN_HEADER_BYTES - link->admin_have;
    size_t size = 0;
    za_err_t err = node->params.transport.ops->read(link->conn, link->admin_in + link->admin_have,
                                                    room, &size);
    if (err != ZA_OK || room == 0) {
        za_link_close(link, err != ZA_OK ? err : ZA_EPROTO);
        return;
    }
    link->admin_have += (uint32_t)size;
    za_link_admin_serve(node, link);
}
