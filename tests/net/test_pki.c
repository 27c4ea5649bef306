#include <sys/stat.h>
#include <unistd.h>

#include "net/identity.h"
#include "net/pki_file.h"
#include "tls_support.h"

Test(pki, describes_what_it_issued)
{
    char problem[PROBLEM_BYTES] = "";
    za_pki_pair_t authority = make_authority("prod");
    static const char *const dns[] = { "n1.example", "localhost" };
    static const char *const addresses[] = { "127.0.0.1", "::1" };
    za_pki_request_t request = node_request("prod", "n1");
    request.roles = ZA_ROLE_MEMBER | ZA_ROLE_ADMIN;
    request.dns_names = dns;
    request.dns_name_count = 2;
    request.addresses = addresses;
    request.address_count = 2;
    za_pki_pair_t pair = make_node(&authority, &request);
    za_pki_info_t info;
    cr_assert(za_pki_describe(pair.certificate, &info, problem, sizeof problem) == ZA_OK, "%s",
              problem);
    cr_expect(strcmp(info.identity.cluster, "prod") == 0, "%s", info.identity.cluster);
    cr_expect(strcmp(info.identity.node, "n1") == 0, "%s", info.identity.node);
    cr_expect(info.identity.roles == (ZA_ROLE_MEMBER | ZA_ROLE_ADMIN), "%u", info.identity.roles);
    cr_expect(!info.identity.verified && !info.authority, "flags");
    cr_expect(info.not_before_s == request.not_before_s, "from");
    cr_expect(info.not_after_s == request.not_after_s, "until");
    cr_expect(strcmp(info.subject, "O=prod, CN=n1") == 0, "%s", info.subject);
    cr_expect(strcmp(info.issuer, "O=prod, CN=zactor authority") == 0, "%s", info.issuer);
    cr_expect(strlen(info.serial) == 32, "%s", info.serial);

    cr_assert(za_pki_describe(authority.certificate, &info, problem, sizeof problem) == ZA_OK, "%s",
              problem);
    cr_expect(info.authority && info.identity.node[0] == '\0', "an authority is no node");
    cr_expect(za_pki_describe("nonsense", &info, problem, sizeof problem) == ZA_EINVAL, "nonsense");
}

// Beyond 2049 X.509 writes times in another form; leap days are where calendars go wrong.
Test(pki, keeps_dates_to_the_second)
{
    static const int64_t dates[] = { 0,
                                     951782399,
                                     951782400,
                                     951868800,
                                     INT64_C(2524607999),
                                     INT64_C(2524608000),
                                     INT64_C(4107542399),
                                     INT64_C(253402300799) };
    char problem[PROBLEM_BYTES] = "";
    za_pki_pair_t authority = make_authority("prod");
    for (size_t i = 1; i < sizeof dates / sizeof dates[0]; i++) {
        za_pki_request_t request = node_request("prod", "n1");
        request.not_before_s = dates[i - 1];
        request.not_after_s = dates[i];
        za_pki_pair_t pair = make_node(&authority, &request);
        za_pki_info_t info;
        cr_assert(za_pki_describe(pair.certificate, &info, problem, sizeof problem) == ZA_OK, "%s",
                  problem);
        cr_expect(info.not_before_s == dates[i - 1], "from %" PRId64, info.not_before_s);
        cr_expect(info.not_after_s == dates[i], "until %" PRId64, info.not_after_s);
    }
}

static void expect_refused(const za_pki_pair_t *authority, const za_pki_request_t *request,
                           const char *says)
{
    char problem[PROBLEM_BYTES] = "";
    za_pki_pair_t pair;
    za_err_t err = za_pki_make_node(authority, request, &pair, problem, sizeof problem);
    cr_assert(err == ZA_EINVAL, "%s", za_err_name(err));
    cr_expect(strstr(problem, says), "%s", problem);
}

Test(pki, refuses_requests_that_make_no_sense)
{
    za_pki_pair_t authority = make_authority("prod");
    static const char *const bad_names[] = { "", "a/b", "a b", "n1,O=x", "n\xc3\xa4" };
    for (size_t i = 0; i < sizeof bad_names / sizeof bad_names[0]; i++) {
        za_pki_request_t request = node_request("prod", bad_names[i]);
        expect_refused(&authority, &request, "a node name is");
        request = node_request(bad_names[i], "n1");
        expect_refused(&authority, &request, "a cluster name is");
    }
    za_pki_request_t request = node_request("prod", "n1");
    request.roles = 0;
    expect_refused(&authority, &request, "needs a role");
    request = node_request("prod", "n1");
    request.not_after_s = request.not_before_s;
    expect_refused(&authority, &request, "end before it begins");
    static const char *const addresses[] = { "300.1.1.1" };
    request = node_request("prod", "n1");
    request.addresses = addresses;
    request.address_count = 1;
    expect_refused(&authority, &request, "not an IP address: 300.1.1.1");
    za_pki_pair_t mixed = make_authority("prod");
    memcpy(mixed.certificate, authority.certificate, sizeof mixed.certificate);
    request = node_request("prod", "n1");
    expect_refused(&mixed, &request, "key is not that of its certificate");
}

typedef struct folder {
    char path[64];
    char names[4][96];
    za_pki_paths_t ca;
    za_pki_paths_t node;
} folder_t;

static void make_folder(folder_t *folder)
{
    static const char *const names[] = { "ca.pem", "ca.key", "n1.pem", "n1.key" };
    snprintf(folder->path, sizeof folder->path, "/tmp/zactor-pki-XXXXXX");
    cr_assert(mkdtemp(folder->path) != NULL, "mkdtemp");
    for (int i = 0; i < 4; i++) {
        snprintf(folder->names[i], sizeof folder->names[i], "%s/%s", folder->path, names[i]);
    }
    folder->ca = (za_pki_paths_t){ folder->names[0], folder->names[1] };
    folder->node = (za_pki_paths_t){ folder->names[2], folder->names[3] };
}

static void remove_folder(folder_t *folder)
{
    for (int i = 0; i < 4; i++) {
        unlink(folder->names[i]);
    }
    cr_assert(rmdir(folder->path) == 0, "something else was left in %s", folder->path);
}

static unsigned mode_of(const char *path)
{
    struct stat info;
    cr_assert(stat(path, &info) == 0, "%s", path);
    return info.st_mode & 0777;
}

Test(pki, writes_files_that_tls_can_use)
{
    char problem[PROBLEM_BYTES] = "";
    folder_t folder;
    make_folder(&folder);
    za_pki_request_t request = node_request("prod", "n1");
    za_err_t err =
        za_pki_ca_init(&folder.ca, &request, ZA_PKI_KEEP_EXISTING, problem, sizeof problem);
    cr_assert(err == ZA_OK, "%s", problem);
    err = za_pki_issue(&folder.ca, &request, &folder.node, ZA_PKI_KEEP_EXISTING, problem,
                       sizeof problem);
    cr_assert(err == ZA_OK, "%s", problem);
    cr_expect(mode_of(folder.ca.key) == 0600 && mode_of(folder.node.key) == 0600, "keys are ours");
    cr_expect(mode_of(folder.node.certificate) == 0644, "certificates are everybody's");
    za_tls_config_t config = { .authorities = { .path = folder.ca.certificate },
                               .certificate = { .path = folder.node.certificate },
                               .key = { .path = folder.node.key },
                               .cluster = "prod" };
    za_tls_t *tls = NULL;
    err = za_tls_create(&config, &tls, problem, sizeof problem);
    cr_assert(err == ZA_OK, "%s", problem);
    cr_expect(strcmp(za_tls_identity(tls)->node, "n1") == 0, "%s", za_tls_identity(tls)->node);
    cr_expect(za_tls_not_after_s(tls) == request.not_after_s, "until");
    za_tls_destroy(tls);
    remove_folder(&folder);
}

Test(pki, replaces_a_file_only_when_told_to)
{
    char problem[PROBLEM_BYTES] = "";
    folder_t folder;
    make_folder(&folder);
    za_pki_request_t request = node_request("prod", "n1");
    za_pki_info_t first;
    za_pki_info_t second;
    cr_assert(za_pki_ca_init(&folder.ca, &request, ZA_PKI_KEEP_EXISTING, problem, sizeof problem) ==
                  ZA_OK,
              "%s", problem);
    za_err_t err = za_pki_describe_file(folder.ca.certificate, &first, problem, sizeof problem);
    cr_assert(err == ZA_OK, "%s", problem);
    unlink(folder.ca.key); // the certificate alone is enough to refuse
    err = za_pki_ca_init(&folder.ca, &request, ZA_PKI_KEEP_EXISTING, problem, sizeof problem);
    cr_assert(err == ZA_EEXIST, "%s", za_err_name(err));
    cr_expect(strstr(problem, "ca.pem"), "%s", problem);
    cr_expect(access(folder.ca.key, F_OK) != 0, "a refusal leaves nothing behind");
    err = za_pki_ca_init(&folder.ca, &request, ZA_PKI_REPLACE_EXISTING, problem, sizeof problem);
    cr_assert(err == ZA_OK, "%s", problem);
    err = za_pki_describe_file(folder.ca.certificate, &second, problem, sizeof problem);
    cr_assert(err == ZA_OK && strcmp(first.serial, second.serial) != 0, "%s", problem);
    remove_folder(&folder);
}

Test(pki, says_which_file_is_missing)
{
    char problem[PROBLEM_BYTES] = "";
    folder_t folder;
    make_folder(&folder);
    za_pki_request_t request = node_request("prod", "n1");
    za_err_t err = za_pki_issue(&folder.ca, &request, &folder.node, ZA_PKI_KEEP_EXISTING, problem,
                                sizeof problem);
    cr_assert(err == ZA_ENOENT, "%s", za_err_name(err));
    cr_expect(strstr(problem, "ca.pem"), "%s", problem);
    remove_folder(&folder);
}

static za_identity_uri_t add(za_identity_t *identity, const char *uri)
{
    return za_identity_add_uri(identity, (const uint8_t *)uri, strlen(uri));
}

Test(identity, takes_names_only_in_their_exact_form)
{
    za_identity_t identity = { 0 };
    static const char *const bad[] = { "zactor://",    "zactor://a",     "zactor:///n",
                                       "zactor://c/",  "zactor://c/n/x", "zactor://c/n ",
                                       "zactor://c?/n" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_expect(add(&identity, bad[i]) == ZA_IDENTITY_URI_BAD, "%s", bad[i]);
    }
    cr_expect(za_identity_add_uri(&identity, (const uint8_t *)"zactor://c/n\0x", 14) ==
                  ZA_IDENTITY_URI_BAD,
              "a NUL within");
    cr_expect(identity.node[0] == '\0', "nothing was taken");
    cr_expect(add(&identity, "https://example/") == ZA_IDENTITY_URI_FOREIGN, "foreign");
    cr_expect(add(&identity, "ZACTOR://c/n") == ZA_IDENTITY_URI_FOREIGN, "case");
    cr_expect(add(&identity, "zactor:role:member ") == ZA_IDENTITY_URI_FOREIGN, "role with tail");
    cr_expect(identity.roles == 0, "no role");
    cr_expect(add(&identity, "zactor:role:client") == ZA_IDENTITY_URI_ROLE, "role");
    cr_expect(add(&identity, "zactor://c/n") == ZA_IDENTITY_URI_NODE, "node");
    cr_expect(add(&identity, "zactor://c/m") == ZA_IDENTITY_URI_BAD, "a second node");
    cr_expect(strcmp(identity.node, "n") == 0 && identity.roles == ZA_ROLE_CLIENT, "%s",
              identity.node);
}

Test(identity, bounds_the_length_of_names)
{
    char uri[256];
    za_identity_t identity = { 0 };
    snprintf(uri, sizeof uri, "zactor://%.*s/n", 65,
             "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    cr_expect(add(&identity, uri) == ZA_IDENTITY_URI_BAD, "65");
    snprintf(uri, sizeof uri, "zactor://%.*s/n", 64,
             "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    cr_expect(add(&identity, uri) == ZA_IDENTITY_URI_NODE, "64");
}
