// What zactord looks for in an object that it is told to load.
#include "counter.h"
#include "driver.h"

ZA_API const za_class_t *const *zactor_classes(void);

const za_class_t *const *zactor_classes(void)
{
    static const za_class_t *const classes[] = { &wordcount_counter_class, &wordcount_driver_class,
                                                 NULL };
    return classes;
}
