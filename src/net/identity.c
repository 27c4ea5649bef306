#include "net/identity.h"

#include <stdio.h>
#include <string.h>

#include "base/limits.h"

static_assert(sizeof((za_identity_t *)0)->cluster == ZA_CLUSTER_NAME_BYTES_MAX + 1, "with the NUL");
static_assert(sizeof((za_identity_t *)0)->node == ZA_NODE_NAME_BYTES_MAX + 1, "with the NUL");

#define NODE_SCHEME "zactor://"
#define ROLE_SCHEME "zactor:role:"

static const struct {
    uint32_t role;
    const char *uri;
} role_uris[] = {
    { ZA_ROLE_MEMBER, ROLE_SCHEME "member" },
    { ZA_ROLE_CLIENT, ROLE_SCHEME "client" },
    { ZA_ROLE_ADMIN, ROLE_SCHEME "admin" },
};

enum { ROLE_COUNT = sizeof role_uris / sizeof role_uris[0] };

static bool name_char_valid(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

bool za_identity_name_valid(const char *name, size_t size)
{
    if (size == 0 || size > ZA_NODE_NAME_BYTES_MAX) {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        if (!name_char_valid(name[i])) {
            return false;
        }
    }
    return true;
}

static bool has_prefix(const uint8_t *uri, size_t size, const char *prefix)
{
    size_t prefix_size = strlen(prefix);
    return size >= prefix_size && memcmp(uri, prefix, prefix_size) == 0;
}

static za_identity_uri_t add_node(za_identity_t *identity, const char *names, size_t size)
{
    if (identity->node[0] != '\0') {
        return ZA_IDENTITY_URI_BAD; // two nodes: which one speaks would be the peer's choice
    }
    const char *slash = memchr(names, '/', size);
    if (slash == NULL) {
        return ZA_IDENTITY_URI_BAD;
    }
    size_t cluster_size = (size_t)(slash - names);
    size_t node_size = size - cluster_size - 1;
    if (!za_identity_name_valid(names, cluster_size) ||
        !za_identity_name_valid(slash + 1, node_size)) {
        return ZA_IDENTITY_URI_BAD;
    }
    memcpy(identity->cluster, names, cluster_size);
    identity->cluster[cluster_size] = '\0';
    memcpy(identity->node, slash + 1, node_size);
    identity->node[node_size] = '\0';
    return ZA_IDENTITY_URI_NODE;
}

za_identity_uri_t za_identity_add_uri(za_identity_t *identity, const uint8_t *uri, size_t size)
{
    if (has_prefix(uri, size, NODE_SCHEME)) {
        size_t scheme_size = strlen(NODE_SCHEME);
        return add_node(identity, (const char *)uri + scheme_size, size - scheme_size);
    }
    for (int i = 0; i < ROLE_COUNT; i++) {
        if (size == strlen(role_uris[i].uri) && memcmp(uri, role_uris[i].uri, size) == 0) {
            identity->roles |= role_uris[i].role;
            return ZA_IDENTITY_URI_ROLE;
        }
    }
    return ZA_IDENTITY_URI_FOREIGN; // a role we do not know grants nothing
}

za_err_t za_identity_node_uri(const char *cluster, const char *node,
                              char out[ZA_IDENTITY_URI_BYTES_MAX])
{
    if (!za_identity_name_valid(cluster, strlen(cluster)) ||
        !za_identity_name_valid(node, strlen(node))) {
        return ZA_EINVAL;
    }
    snprintf(out, ZA_IDENTITY_URI_BYTES_MAX, NODE_SCHEME "%s/%s", cluster, node);
    return ZA_OK;
}

const char *za_identity_role_uri(uint32_t role)
{
    for (int i = 0; i < ROLE_COUNT; i++) {
        if (role_uris[i].role == role) {
            return role_uris[i].uri;
        }
    }
    return NULL;
}

za_err_t za_identity_role_parse(const char *text, uint32_t *role)
{
    for (int i = 0; i < ROLE_COUNT; i++) {
        if (strcmp(text, role_uris[i].uri + strlen(ROLE_SCHEME)) == 0) {
            *role = role_uris[i].role;
            return ZA_OK;
        }
    }
    return ZA_EINVAL;
}
