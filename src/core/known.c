#include "core/known.h"

#include "core/worker.h"

/** True for a class that wants to hear of members. */
static bool hears_of_members(const za_class_t *class_)
{
    const za_type_t *const types[] = {
        &za_MemberJoining_type,     &za_MemberUp_type,        &za_MemberSuspect_type,
        &za_MemberUnreachable_type, &za_MemberReachable_type, &za_MemberLeaving_type,
        &za_MemberLeft_type,        &za_MemberDown_type,      &za_MemberApart_type,
        &za_MemberTogether_type,    &za_Reborn_type,
    };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (za_handler_find(class_, types[i]) != NULL) {
            return true;
        }
    }
    return false;
}

const za_known_t *za_known_learn(za_worker_t *worker, za_known_t *entry, const za_class_t *class_)
{
    entry->class_ = class_;
    entry->number = za_class_number(worker->runtime, class_);
    entry->hears = 0;
    entry->hears |= za_handler_find(class_, &za_Started_type) != NULL ? ZA_HEARS_STARTED : 0;
    entry->hears |= za_handler_find(class_, &za_Stopping_type) != NULL ? ZA_HEARS_STOPPING : 0;
    entry->hears |= hears_of_members(class_) ? ZA_HEARS_MEMBERS : 0;
    return entry;
}
