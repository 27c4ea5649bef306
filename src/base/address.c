#include "base/address.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"

bool za_address_split(const char *address, char *host, size_t host_bytes, uint16_t *port)
{
    const char *begin = address;
    const char *end = NULL;
    const char *colon = NULL;
    if (address[0] == '[') {
        begin = address + 1;
        end = strchr(begin, ']');
        colon = end != NULL ? end + 1 : NULL;
    } else {
        colon = strchr(address, ':');
        end = colon;
    }
    if (colon == NULL || *colon != ':' || end == begin || strlen(address) > ZA_ADDRESS_BYTES_MAX) {
        return false;
    }
    char *rest = NULL;
    unsigned long number = isdigit((unsigned char)colon[1]) ? strtoul(colon + 1, &rest, 10) : 65536;
    if (number > UINT16_MAX || *rest != '\0' || (size_t)(end - begin) >= host_bytes) {
        return false;
    }
    for (const char *letter = begin; letter < end; letter++) {
        if (!isalnum((unsigned char)*letter) && strchr(".-_:%", *letter) == NULL) {
            return false;
        }
    }
    memcpy(host, begin, (size_t)(end - begin));
    host[end - begin] = '\0';
    *port = (uint16_t)number;
    return true;
}
