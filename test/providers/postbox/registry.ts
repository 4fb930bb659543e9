import { instagram } from '../../../src/providers/instagram/module.ts'
import { postbox } from './module.ts'

export const PROVIDERS = [instagram, postbox]
