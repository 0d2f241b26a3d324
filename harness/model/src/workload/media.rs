//! What a request carries beside its prompt: images, and definitions of tools.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Count;

/// The largest width and height of a generated image, in pixels.
const SIDE_MAX: u32 = 8192;
/// The most bytes of all files of a folder.
const FOLDER_MAX_BYTES: u64 = 256 << 20;
/// The most tools of a request.
const TOOLS_MAX: u32 = 1024;

/// Images of each request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Images {
    /// Images of a request.
    #[serde(default = "one")]
    pub count: Count,
    /// The width of generated images, in pixels.
    #[serde(default = "side")]
    pub width: u32,
    /// The height of generated images, in pixels.
    #[serde(default = "side")]
    pub height: u32,
    /// A folder with files to send instead, any of them for each image: PNG, JPEG, WebP or GIF. A relative path counts from the workload
    /// file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
}

fn one() -> Count {
    Count::Fixed(1)
}

fn side() -> u32 {
    512
}

/// Tools that each request defines.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tools {
    /// Tools of a request. They are named tool_0, tool_1 and so on.
    pub count: u32,
    /// `auto`, `required`, `none`, or the name of one tool [default: not sent].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choice: Option<String>,
}

/// An image of a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Picture {
    /// The folder.
    pub folder: PathBuf,
    /// Its media type.
    pub media_type: String,
    /// Its bytes in base64.
    pub base64: String,
}

impl Images {
    pub(super) fn check(&self) -> Result<()> {
        self.count.check("images.count")?;
        ensure!(
            (1..=SIDE_MAX).contains(&self.width) && (1..=SIDE_MAX).contains(&self.height),
            "`images`: `width` is {} and `height` is {}: must be 1 to {SIDE_MAX}",
            self.width,
            self.height
        );
        Ok(())
    }

    /// Reads the files of its folder, in the order of their names. A relative path counts from `from`.
    pub(super) fn load(&self, from: &Path) -> Result<Vec<Picture>> {
        let Some(folder) = &self.folder else {
            return Ok(Vec::new());
        };
        let path = from.join(folder);
        let what = || format!("images: folder {}", path.display());
        let entries = std::fs::read_dir(&path).with_context(what)?;
        let mut files = Vec::new();
        for entry in entries {
            let file = entry.with_context(what)?.path();
            files.extend(media_type(&file).map(|kind| (file, kind)));
        }
        files.sort();
        ensure!(
            !files.is_empty(),
            "{}: no file ends with .png, .jpg, .jpeg, .webp or .gif",
            what()
        );
        let mut left = FOLDER_MAX_BYTES;
        let pictures = files.into_iter().map(|(file, kind)| {
            let bytes =
                std::fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
            left = left
                .checked_sub(bytes.len() as u64)
                .with_context(|| format!("{}: more than {FOLDER_MAX_BYTES} bytes", what()))?;
            Ok(Picture {
                folder: folder.clone(),
                media_type: kind.to_owned(),
                base64: STANDARD.encode(bytes),
            })
        });
        pictures.collect()
    }
}

/// The media type of an image by the name of its file.
fn media_type(file: &Path) -> Option<&'static str> {
    let extension = file.extension()?.to_str()?.to_ascii_lowercase();
    Some(match extension.as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "gif" => "image/gif",
        _ => return None,
    })
}

impl Tools {
    /// The name of the tool of a number.
    pub fn name(number: u32) -> String {
        format!("tool_{number}")
    }

    pub(super) fn check(&self) -> Result<()> {
        ensure!(
            (1..=TOOLS_MAX).contains(&self.count),
            "`tools`: `count` is {}: must be 1 to {TOOLS_MAX}",
            self.count
        );
        let Some(choice) = &self.choice else {
            return Ok(());
        };
        let is_tool = (0..self.count).any(|number| Self::name(number) == *choice);
        ensure!(
            is_tool || ["auto", "required", "none"].contains(&choice.as_str()),
            "`tools`: `choice` is {choice:?}: must be auto, required, none, or one of tool_0 to {}",
            Self::name(self.count - 1)
        );
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_gives_its_images_in_the_order_of_their_names() {
        let folder = tempfile_folder("images");
        for (name, bytes) in [("b.JPG", "two"), ("a.png", "one"), ("notes.txt", "none")] {
            std::fs::write(folder.join(name), bytes).unwrap();
        }
        let images = Images {
            count: one(),
            width: 1,
            height: 1,
            folder: Some("images".into()),
        };
        let pictures = images.load(folder.parent().unwrap()).unwrap();
        let found: Vec<_> = pictures
            .iter()
            .map(|it| (it.media_type.as_str(), it.base64.as_str()))
            .collect();
        assert_eq!(found, [("image/png", "b25l"), ("image/jpeg", "dHdv")]);
        for name in ["a.png", "b.JPG"] {
            std::fs::remove_file(folder.join(name)).unwrap();
        }
        let message = format!("{:#}", images.load(folder.parent().unwrap()).unwrap_err());
        assert!(message.contains(".webp"), "{message}");
        std::fs::remove_dir_all(folder.parent().unwrap()).unwrap();
    }

    fn tempfile_folder(name: &str) -> PathBuf {
        let own = format!("poolproof-media-{}", std::process::id());
        let folder = std::env::temp_dir().join(own).join(name);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn a_choice_is_a_word_of_the_api_or_one_of_the_tools() {
        for (count, choice, is_good) in [
            (3, None, true),
            (3, Some("required"), true),
            (3, Some("tool_2"), true),
            (3, Some("tool_3"), false),
            (3, Some("any"), false),
            (0, None, false),
        ] {
            let choice = choice.map(str::to_owned);
            assert_eq!(Tools { count, choice }.check().is_ok(), is_good);
        }
    }
}
