/** Counter: answers each wc_Batch with its wc_Counts. It knows nothing of other batches. */
#pragma once

#include <zactor/zactor.h>

extern const za_class_t wordcount_counter_class;
