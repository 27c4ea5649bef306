/** From a link that is part of an item to the item. */
#pragma once

#include <stddef.h>

#define ZA_CONTAINER(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))
