/** ZActor: actors for C, on one core or on many machines. The umbrella header. */
#pragma once

#include <zactor/actor.h>
#include <zactor/blob.h>
#include <zactor/err.h>
#include <zactor/freeze.h>
#include <zactor/lease.h>
#include <zactor/node.h>
#include <zactor/ref.h>
#include <zactor/system.za.h>
#include <zactor/type.h>
