$ErrorActionPreference = 'Stop'

$package = @{
  packageName    = $env:ChocolateyPackageName
  fileType       = 'exe'
  url64bit       = '@URL@'
  checksum64     = '@SHA256@'
  checksumType64 = 'sha256'
  silentArgs     = '/S'
  validExitCodes = @(0, 3010)
}
Install-ChocolateyPackage @package
