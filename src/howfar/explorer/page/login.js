// The page behind the token opens with the state that the link stores.
"use strict";
document.querySelector("form").action = `./${location.hash}`;
