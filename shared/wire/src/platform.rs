//! What devices run.

use crate::choice::choice;

choice! {
    /// What a device runs.
    Platform {
        /// Every platform; only in a request to send or announce.
        All = "ALL",
        /// Android.
        Android = "ANDROID",
        /// iOS and iPadOS.
        Ios = "IOS",
        /// Desktop.
        Pc = "PC",
        /// Browser.
        Web = "WEB",
    }
}

#[cfg(feature = "schema")]
crate::choice::part! {
    /// What a device runs.
    DevicePlatform as "DevicePlatform" = Platform, but |it: Platform| it == Platform::All
}
