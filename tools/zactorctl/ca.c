#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "net/identity.h"
#include "net/pki_file.h"
#include "zactorctl.h"

enum {
    PROBLEM_BYTES = 512,
    PATH_BYTES = 1024,
    DAYS_CA = 3650,
    DAYS_NODE = 365,
    DAYS_MAX = 36500,
    DAY_S = 24 * 3600,
    BACKDATE_S = 3600, // hosts' clocks differ: a certificate is valid at once everywhere
};

/** The flags of `ca init` and `ca issue`. */
typedef struct request {
    const char *folder;
    const char *cluster;
    uint32_t roles;
    int days; // 0: the default
    bool force;
    const char *dns_names[ZA_PKI_NAMES_MAX];
    uint32_t dns_name_count;
    const char *addresses[ZA_PKI_NAMES_MAX];
    uint32_t address_count;
} request_t;

static const column_t columns[] = {
    { "name", "name", false, NULL },   { "cluster", "cluster", false, NULL },
    { "roles", "roles", false, NULL }, { "certificate", "certificate", false, NULL },
    { "key", "key", false, NULL },     { "not after", "not_after", false, NULL },
    { NULL, NULL, false, NULL }
};

static const struct option flags[] = {
    { "dir", required_argument, NULL, 'd' },  { "cluster", required_argument, NULL, 'c' },
    { "days", required_argument, NULL, 'n' }, { "role", required_argument, NULL, 'r' },
    { "dns", required_argument, NULL, 'D' },  { "ip", required_argument, NULL, 'I' },
    { "force", no_argument, NULL, 'f' },      { NULL, 0, NULL, 0 }
};

static const char usage[] =
    "usage: zactorctl ca init  --cluster NAME [--dir DIR] [--days N] [--force]\n"
    "       zactorctl ca issue NODE [--role member,client,admin] [--dir DIR] [--days N]\n"
    "                          [--dns NAME]... [--ip ADDRESS]... [--cluster NAME] [--force]\n"
    "The authority is DIR/ca.crt and DIR/ca.key, a node's files are DIR/NODE.crt and DIR/NODE.key.\n";

static status_t fail_usage(void)
{
    fputs(usage, stderr);
    return STATUS_USAGE;
}

static status_t add_roles(request_t *request, const char *list)
{
    while (*list != '\0') {
        char name[16];
        size_t size = strcspn(list, ",");
        uint32_t role = 0;
        snprintf(name, sizeof(name), "%.*s", (int)(size < sizeof(name) ? size : sizeof(name) - 1),
                 list);
        if (size >= sizeof(name) || za_identity_role_parse(name, &role) != ZA_OK) {
            return say(STATUS_USAGE, "--role: %s: not one of member, client, admin", list);
        }
        request->roles |= role;
        list += size;
        list += *list == ',';
    }
    return STATUS_OK;
}

static status_t add_name(const char **names, uint32_t *count, const char *name)
{
    if (*count == ZA_PKI_NAMES_MAX) {
        return say(STATUS_USAGE, "more than %d names of one kind", ZA_PKI_NAMES_MAX);
    }
    names[(*count)++] = name;
    return STATUS_OK;
}

static status_t set_days(request_t *request, const char *text)
{
    char *end = NULL;
    long days = strtol(text, &end, 10);
    if (end == text || *end != '\0' || days < 1 || days > DAYS_MAX) {
        return say(STATUS_USAGE, "--days: %s is not a number from 1 to %d", text, DAYS_MAX);
    }
    request->days = (int)days;
    return STATUS_OK;
}

static status_t take_flags(int argc, char **argv, request_t *out)
{
    int flag = 0;
    status_t status = STATUS_OK;
    optind = 0;
    while (status == STATUS_OK && (flag = getopt_long(argc, argv, "", flags, NULL)) != -1) {
        switch (flag) {
        case 'd':
            out->folder = optarg;
            break;
        case 'c':
            out->cluster = optarg;
            break;
        case 'n':
            status = set_days(out, optarg);
            break;
        case 'r':
            status = add_roles(out, optarg);
            break;
        case 'D':
            status = add_name(out->dns_names, &out->dns_name_count, optarg);
            break;
        case 'I':
            status = add_name(out->addresses, &out->address_count, optarg);
            break;
        case 'f':
            out->force = true;
            break;
        default:
            return fail_usage();
        }
    }
    return status;
}

static bool make_path(const request_t *request, const char *name, const char *suffix,
                      char out[PATH_BYTES])
{
    int size = snprintf(out, PATH_BYTES, "%s/%s%s", request->folder, name, suffix);
    return size > 0 && size < PATH_BYTES;
}

static const char *roles_text(uint32_t roles, char *out, size_t out_bytes)
{
    snprintf(out, out_bytes, "%s%s%s", roles & ZA_ROLE_MEMBER ? "member " : "",
             roles & ZA_ROLE_CLIENT ? "client " : "", roles & ZA_ROLE_ADMIN ? "admin " : "");
    size_t size = strlen(out);
    if (size > 0) {
        out[size - 1] = '\0';
    }
    return out;
}

static void print_made(const options_t *options, const char *name, const char *cluster,
                       uint32_t roles, const za_pki_paths_t *paths, int64_t not_after_s)
{
    char text[64];
    char until[32] = "?";
    time_t seconds = (time_t)not_after_s;
    struct tm utc;
    if (gmtime_r(&seconds, &utc) != NULL) {
        strftime(until, sizeof(until), "%Y-%m-%dT%H:%M:%SZ", &utc);
    }
    print_object(options, name, columns,
                 json_pack("{s:s,s:s,s:s,s:s,s:s,s:s}", "name", name, "cluster", cluster, "roles",
                           roles_text(roles, text, sizeof(text)), "certificate", paths->certificate,
                           "key", paths->key, "not_after", until));
}

static za_pki_request_t pki_request(const request_t *request, const char *node, int days_default)
{
    int64_t now = (int64_t)time(NULL);
    int64_t days = request->days != 0 ? request->days : days_default;
    return (za_pki_request_t){ .cluster = request->cluster,
                               .node = node,
                               .roles = request->roles,
                               .not_before_s = now - BACKDATE_S,
                               .not_after_s = now + days * DAY_S,
                               .dns_names = request->dns_names,
                               .dns_name_count = request->dns_name_count,
                               .addresses = request->addresses,
                               .address_count = request->address_count };
}

static status_t ca_init(const options_t *options, request_t *request)
{
    if (request->cluster == NULL) {
        say(STATUS_USAGE, "ca init needs --cluster");
        return fail_usage();
    }
    char certificate[PATH_BYTES];
    char key[PATH_BYTES];
    char problem[PROBLEM_BYTES] = "";
    if (!make_path(request, "ca", ".crt", certificate) || !make_path(request, "ca", ".key", key)) {
        return say(STATUS_USAGE, "--dir: the path is too long");
    }
    if (mkdir(request->folder, 0700) != 0 && errno != EEXIST) {
        return say(STATUS_USAGE, "%s: %s", request->folder, strerror(errno));
    }
    za_pki_paths_t paths = { certificate, key };
    za_pki_request_t pki = pki_request(request, NULL, DAYS_CA);
    za_err_t err = za_pki_ca_init(&paths, &pki,
                                  request->force ? ZA_PKI_REPLACE_EXISTING : ZA_PKI_KEEP_EXISTING,
                                  problem, sizeof(problem));
    if (err != ZA_OK) {
        return say(STATUS_USAGE, "%s%s", problem, err == ZA_EEXIST ? " (--force replaces it)" : "");
    }
    print_made(options, "ca", request->cluster, 0, &paths, pki.not_after_s);
    return STATUS_OK;
}

static status_t ca_issue(const options_t *options, request_t *request, const char *node)
{
    char ca_certificate[PATH_BYTES];
    char ca_key[PATH_BYTES];
    char certificate[PATH_BYTES];
    char key[PATH_BYTES];
    char problem[PROBLEM_BYTES] = "";
    if (!za_identity_name_valid(node, strlen(node)) || strcmp(node, "ca") == 0) {
        return say(STATUS_USAGE,
                   "%s: a node's name is 1 to 64 letters, digits and . _ -, "
                   "and not \"ca\"",
                   node);
    }
    if (!make_path(request, "ca", ".crt", ca_certificate) ||
        !make_path(request, "ca", ".key", ca_key) ||
        !make_path(request, node, ".crt", certificate) || !make_path(request, node, ".key", key)) {
        return say(STATUS_USAGE, "--dir: the path is too long");
    }
    za_pki_info_t authority;
    za_err_t err = za_pki_describe_file(ca_certificate, &authority, problem, sizeof(problem));
    if (err != ZA_OK) {
        return say(STATUS_USAGE, "%s (make one with `zactorctl ca init`)", problem);
    }
    char cluster[65];
    if (request->cluster == NULL) {
        // An authority carries its cluster as organisation: "O=orders, CN=...".
        if (sscanf(authority.subject, "O=%64[A-Za-z0-9._-]", cluster) != 1) {
            return say(STATUS_USAGE, "%s does not name its cluster: add --cluster", ca_certificate);
        }
        request->cluster = cluster;
    }
    if (request->roles == 0) {
        request->roles = ZA_ROLE_MEMBER;
    }
    za_pki_paths_t ca = { ca_certificate, ca_key };
    za_pki_paths_t paths = { certificate, key };
    za_pki_request_t pki = pki_request(request, node, DAYS_NODE);
    if (pki.not_after_s > authority.not_after_s) {
        pki.not_after_s = authority.not_after_s; // longer than the authority it would not be valid
    }
    err = za_pki_issue(&ca, &pki, &paths,
                       request->force ? ZA_PKI_REPLACE_EXISTING : ZA_PKI_KEEP_EXISTING, problem,
                       sizeof(problem));
    if (err != ZA_OK) {
        return say(STATUS_USAGE, "%s%s", problem, err == ZA_EEXIST ? " (--force replaces it)" : "");
    }
    print_made(options, node, request->cluster, request->roles, &paths, pki.not_after_s);
    return STATUS_OK;
}

status_t verb_ca(const options_t *options, int argc, char **argv)
{
    request_t request = { .folder = "." };
    if (argc < 2) {
        return fail_usage();
    }
    const char *verb = argv[1];
    status_t status = take_flags(argc - 1, argv + 1, &request);
    if (status != STATUS_OK) {
        return status;
    }
    int rest = argc - 1 - optind;
    if (strcmp(verb, "init") == 0 && rest == 0) {
        return ca_init(options, &request);
    }
    if (strcmp(verb, "issue") == 0 && rest == 1) {
        return ca_issue(options, &request, argv[1 + optind]);
    }
    return fail_usage();
}
