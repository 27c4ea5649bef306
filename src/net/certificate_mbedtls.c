#include "net/certificate_mbedtls.h"

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>

#include <mbedtls/entropy.h>
#include <mbedtls/error.h>

#include "net/identity.h"

enum { TAG_URI = MBEDTLS_ASN1_CONTEXT_SPECIFIC | 6 };

za_certificate_names_t za_certificate_identity(const mbedtls_x509_crt *certificate,
                                               za_identity_t *out)
{
    za_identity_t identity = { 0 };
    // mbedTLS keeps all names as raw entries, also those its documentation does not list.
    for (const mbedtls_x509_sequence *name = &certificate->subject_alt_names; name != NULL;
         name = name->next) {
        if (name->buf.p == NULL || name->buf.tag != TAG_URI) {
            continue;
        }
        if (za_identity_add_uri(&identity, name->buf.p, name->buf.len) == ZA_IDENTITY_URI_BAD) {
            return ZA_CERTIFICATE_NAMES_BAD;
        }
    }
    if (identity.node[0] == '\0') {
        return ZA_CERTIFICATE_NO_NODE;
    }
    *out = identity;
    return identity.roles == 0 ? ZA_CERTIFICATE_NO_ROLE : ZA_CERTIFICATE_NAMES_OK;
}

// Days since 1970-01-01 of a date of the Gregorian calendar, and back (Hinnant, "chrono-compatible
// low-level date algorithms"): years begin in March, so that the leap day is the last.
static int64_t days_of_date(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2;
    int64_t era = year / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static void date_of_days(int64_t days, int *year, int *month, int *day)
{
    days += 719468;
    int64_t era = days / 146097;
    int64_t day_of_era = days - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month_of_year = (5 * day_of_year + 2) / 153;
    *day = (int)(day_of_year - (153 * month_of_year + 2) / 5 + 1);
    *month = (int)(month_of_year < 10 ? month_of_year + 3 : month_of_year - 9);
    *year = (int)(year_of_era + era * 400 + (*month <= 2));
}

int64_t za_certificate_time_s(const mbedtls_x509_time *time)
{
    return days_of_date(time->year, time->mon, time->day) * 86400 + time->hour * 3600 +
           time->min * 60 + time->sec;
}

za_err_t za_certificate_time_text(int64_t time_s, char out[15])
{
    const int64_t end_of_9999_s = INT64_C(253402300799);
    if (time_s < 0 || time_s > end_of_9999_s) {
        return ZA_EINVAL;
    }
    int year;
    int month;
    int day;
    date_of_days(time_s / 86400, &year, &month, &day);
    int second = (int)(time_s % 86400);
    char text[64]; // the compiler does not know how few digits these are
    snprintf(text, sizeof text, "%04d%02d%02d%02d%02d%02d", year, month, day, second / 3600,
             second / 60 % 60, second % 60);
    snprintf(out, 15, "%.14s", text);
    return ZA_OK;
}

/**
 * The kernel's generator. mbedTLS's own collector mixes it with others: with HAVEGE, where a distribution has
 * that on, which takes 40 KiB for as long as it may be asked again, and milliseconds.
 */
static int system_entropy(void *context, unsigned char *out, size_t size)
{
    (void)context;
    for (size_t have = 0; have < size;) {
        ssize_t got = getrandom(out + have, size - have, 0);
        if (got < 0 && errno != EINTR) {
            return MBEDTLS_ERR_ENTROPY_SOURCE_FAILED;
        }
        have += got > 0 ? (size_t)got : 0;
    }
    return 0;
}

za_err_t za_certificate_rng_init(za_certificate_rng_t *rng)
{
    static const char purpose[] = "zactor";
    mbedtls_ctr_drbg_init(&rng->drbg);
    if (!za_mbed_psa_init()) {
        return ZA_ECRYPTO;
    }
    int result = mbedtls_ctr_drbg_seed(&rng->drbg, system_entropy, NULL,
                                       (const unsigned char *)purpose, sizeof purpose - 1);
    return result == 0 ? ZA_OK : ZA_ECRYPTO;
}

void za_certificate_rng_deinit(za_certificate_rng_t *rng)
{
    mbedtls_ctr_drbg_free(&rng->drbg);
}

const char *za_certificate_error_text(int error, char *out, size_t out_bytes)
{
    mbedtls_strerror(error, out, out_bytes);
    return out;
}
