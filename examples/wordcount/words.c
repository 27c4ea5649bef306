#include "words.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    SLOTS_MIN = 1024, // a power of two; a batch of prose has fewer than half as many words
    TEXT_MIN = 8 * 1024,
    VARINT_BYTES_MAX = 10,
};

typedef struct entry {
    uint32_t text; // offset into words_t.text
    uint32_t size; // letters
    uint32_t hash;
    uint64_t count;
} entry_t;

struct words {
    uint32_t *slots; // index into entries, plus one; 0: free
    entry_t *entries;
    char *text;
    uint32_t slot_count;
    uint32_t entry_count; // at most half of slot_count
    uint32_t text_size;
    uint32_t text_capacity;
    uint64_t total;
};

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

// Not isalpha: a word must not depend on the locale.
static bool is_letter(char c)
{
    c = lower(c);
    return c >= 'a' && c <= 'z';
}

za_err_t words_create(words_t **out)
{
    words_t *words = calloc(1, sizeof *words);
    if (words == NULL) {
        return ZA_ENOMEM;
    }
    words->slots = calloc(SLOTS_MIN, sizeof *words->slots);
    words->entries = calloc(SLOTS_MIN / 2, sizeof *words->entries);
    words->text = malloc(TEXT_MIN);
    if (words->slots == NULL || words->entries == NULL || words->text == NULL) {
        words_destroy(words);
        return ZA_ENOMEM;
    }
    words->slot_count = SLOTS_MIN;
    words->text_capacity = TEXT_MIN;
    *out = words;
    return ZA_OK;
}

void words_destroy(words_t *words)
{
    if (words == NULL) {
        return;
    }
    free(words->slots);
    free(words->entries);
    free(words->text);
    free(words);
}

size_t words_size(const words_t *words)
{
    return words->entry_count;
}

uint64_t words_total(const words_t *words)
{
    return words->total;
}

static uint32_t hash_of(const char *word, size_t size) // FNV-1a of the lower-cased word
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ (uint8_t)lower(word[i])) * 16777619u;
    }
    return hash;
}

static bool same_word(const char *lowered, const char *word, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (lowered[i] != lower(word[i])) {
            return false;
        }
    }
    return true;
}

/** The slot of `word`: of its entry, or free. */
static uint32_t *find_slot(const words_t *words, uint32_t hash, const char *word, size_t size)
{
    uint32_t mask = words->slot_count - 1;
    for (uint32_t i = hash & mask;; i = (i + 1) & mask) { // ends: half of the slots are free
        uint32_t *slot = &words->slots[i];
        if (*slot == 0) {
            return slot;
        }
        const entry_t *entry = &words->entries[*slot - 1];
        if (entry->hash == hash && entry->size == size &&
            same_word(words->text + entry->text, word, size)) {
            return slot;
        }
    }
}

static za_err_t grow_slots(words_t *words)
{
    uint32_t slot_count = words->slot_count * 2;
    if (slot_count / 2 > WORDS_MAX) {
        return ZA_ENOBUFS;
    }
    entry_t *entries = realloc(words->entries, slot_count / 2 * sizeof *entries);
    if (entries == NULL) {
        return ZA_ENOMEM;
    }
    words->entries = entries;
    uint32_t *slots = calloc(slot_count, sizeof *slots);
    if (slots == NULL) {
        return ZA_ENOMEM;
    }
    uint32_t mask = slot_count - 1;
    for (uint32_t n = 0; n < words->entry_count; n++) {
        uint32_t i = entries[n].hash & mask;
        while (slots[i] != 0) {
            i = (i + 1) & mask;
        }
        slots[i] = n + 1;
    }
    free(words->slots);
    words->slots = slots;
    words->slot_count = slot_count;
    return ZA_OK;
}

static za_err_t grow_text(words_t *words, size_t size)
{
    size_t capacity = words->text_capacity;
    while (capacity - words->text_size < size) {
        capacity *= 2;
    }
    if (capacity > UINT32_MAX) {
        return ZA_ENOBUFS;
    }
    char *text = realloc(words->text, capacity);
    if (text == NULL) {
        return ZA_ENOMEM;
    }
    words->text = text;
    words->text_capacity = (uint32_t)capacity;
    return ZA_OK;
}

static za_err_t insert(words_t *words, uint32_t hash, const char *word, size_t size, uint64_t count)
{
    za_err_t err = ZA_OK;
    if (words->entry_count == words->slot_count / 2) {
        err = grow_slots(words);
    }
    if (err == ZA_OK && words->text_capacity - words->text_size < size) {
        err = grow_text(words, size);
    }
    if (err != ZA_OK) {
        return err;
    }
    entry_t *entry = &words->entries[words->entry_count];
    *entry =
        (entry_t){ .text = words->text_size, .size = (uint32_t)size, .hash = hash, .count = count };
    for (size_t i = 0; i < size; i++) {
        words->text[words->text_size + i] = lower(word[i]);
    }
    uint32_t *slot = find_slot(words, hash, word, size); // anew: the table may have grown
    words->text_size += (uint32_t)size;
    words->entry_count++;
    *slot = words->entry_count;
    return ZA_OK;
}

static za_err_t add(words_t *words, const char *word, size_t size, uint64_t count)
{
    uint32_t hash = hash_of(word, size);
    uint32_t *slot = find_slot(words, hash, word, size);
    if (*slot != 0) {
        words->entries[*slot - 1].count += count;
    } else {
        za_err_t err = insert(words, hash, word, size, count);
        if (err != ZA_OK) {
            return err;
        }
    }
    words->total += count;
    return ZA_OK;
}

za_err_t words_count(words_t *words, const char *text, size_t size)
{
    size_t i = 0;
    while (i < size) {
        if (!is_letter(text[i])) {
            i++;
            continue;
        }
        size_t begin = i;
        while (i < size && is_letter(text[i])) {
            i++;
        }
        if (i - begin > WORD_BYTES_MAX) {
            return ZA_ETOOBIG;
        }
        za_err_t err = add(words, text + begin, i - begin, 1);
        if (err != ZA_OK) {
            return err;
        }
    }
    return ZA_OK;
}

static size_t varint_bytes(uint64_t value)
{
    size_t bytes = 1;
    while (value >= 0x80) {
        value >>= 7;
        bytes++;
    }
    return bytes;
}

static uint8_t *varint_write(uint8_t *out, uint64_t value)
{
    while (value >= 0x80) {
        *out++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *out++ = (uint8_t)value;
    return out;
}

/** Bytes read; 0 if there is no whole number. */
static size_t varint_read(const uint8_t *bytes, size_t size, uint64_t *out)
{
    uint64_t value = 0;
    for (size_t i = 0; i < size && i < VARINT_BYTES_MAX; i++) {
        value |= (uint64_t)(bytes[i] & 0x7f) << (7 * i);
        if (bytes[i] < 0x80) {
            *out = value;
            return i + 1;
        }
    }
    return 0;
}

size_t words_packed_bytes(const words_t *words)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < words->entry_count; i++) {
        const entry_t *entry = &words->entries[i];
        bytes += varint_bytes(entry->size) + entry->size + varint_bytes(entry->count);
    }
    return bytes;
}

void words_pack(const words_t *words, uint8_t *out)
{
    for (uint32_t i = 0; i < words->entry_count; i++) {
        const entry_t *entry = &words->entries[i];
        out = varint_write(out, entry->size);
        memcpy(out, words->text + entry->text, entry->size);
        out = varint_write(out + entry->size, entry->count);
    }
}

typedef struct packed_word {
    const char *word;
    size_t size;
    uint64_t count;
} packed_word_t;

/** Reads one packed word; bytes used, or 0 if there is none. */
static size_t unpack(const uint8_t *bytes, size_t size, packed_word_t *out)
{
    uint64_t word_size = 0;
    size_t used = varint_read(bytes, size, &word_size);
    if (used == 0 || word_size == 0 || word_size > WORD_BYTES_MAX || word_size > size - used) {
        return 0;
    }
    out->word = (const char *)bytes + used;
    out->size = (size_t)word_size;
    for (size_t i = 0; i < out->size; i++) {
        if (!is_letter(out->word[i])) {
            return 0;
        }
    }
    used += out->size;
    size_t count_bytes = varint_read(bytes + used, size - used, &out->count);
    return count_bytes == 0 ? 0 : used + count_bytes;
}

za_err_t words_merge(words_t *words, const uint8_t *bytes, size_t size)
{
    // The whole of it is checked first: half a batch must never get into the totals.
    packed_word_t word;
    for (size_t at = 0; at < size;) {
        size_t used = unpack(bytes + at, size - at, &word);
        if (used == 0) {
            return ZA_EPROTO;
        }
        at += used;
    }
    for (size_t at = 0; at < size;) {
        at += unpack(bytes + at, size - at, &word);
        za_err_t err = add(words, word.word, word.size, word.count);
        if (err != ZA_OK) {
            return err;
        }
    }
    return ZA_OK;
}

typedef struct line {
    const char *word;
    uint32_t size;
    uint64_t count;
} line_t;

static int compare_lines(const void *left, const void *right)
{
    const line_t *a = left;
    const line_t *b = right;
    int order = memcmp(a->word, b->word, a->size < b->size ? a->size : b->size);
    return order != 0 ? order : (a->size > b->size) - (a->size < b->size);
}

za_err_t words_write(const words_t *words, FILE *out)
{
    if (words->entry_count == 0) {
        return ZA_OK;
    }
    line_t *lines = calloc(words->entry_count, sizeof *lines);
    if (lines == NULL) {
        return ZA_ENOMEM;
    }
    for (uint32_t i = 0; i < words->entry_count; i++) {
        const entry_t *entry = &words->entries[i];
        lines[i] = (line_t){ words->text + entry->text, entry->size, entry->count };
    }
    qsort(lines, words->entry_count, sizeof *lines, compare_lines);

    za_err_t err = ZA_OK;
    for (uint32_t i = 0; i < words->entry_count && err == ZA_OK; i++) {
        if (fprintf(out, "%" PRIu64 " %.*s\n", lines[i].count, (int)lines[i].size, lines[i].word) <
            0) {
            err = ZA_EIO;
        }
    }
    free(lines);
    return err;
}
